"""Weights are tensors and nothing else: no code of a weights file ever runs."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.checkpoints import load_checkpoint
from scanlens.models.registry import build
from scanlens.models.weights import file_sha256, read_weights, save_weights

Make = Callable[..., Architecture]


class Payload:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.marker),)


def test_safetensors_round_trip(tmp_path: Path, architecture: Make) -> None:
    network = build(architecture(), 1).to(memory_format=torch.channels_last)
    digest = save_weights(network, tmp_path / "deep" / "model.safetensors")
    assert digest == hashlib.sha256((tmp_path / "deep" / "model.safetensors").read_bytes()).hexdigest()
    assert digest == file_sha256(tmp_path / "deep" / "model.safetensors")
    state = read_weights(tmp_path / "deep" / "model.safetensors")
    assert (
        state.keys() == network.state_dict().keys() == load_file(tmp_path / "deep/model.safetensors").keys()
    )
    for name, tensor in network.state_dict().items():
        assert torch.equal(state[name], tensor)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model.safetensors"]


def test_the_same_weights_give_the_same_bytes(tmp_path: Path, architecture: Make) -> None:
    one = save_weights(build(architecture(), 1), tmp_path / "one.safetensors")
    assert one == save_weights(build(architecture(), 1), tmp_path / "two.safetensors")
    assert one != save_weights(build(architecture(), 2), tmp_path / "three.safetensors")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
def test_pt_files_of_tensors_are_read(tmp_path: Path, architecture: Make, wrapper: str | None) -> None:
    state = build(architecture(), 1).state_dict()
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "model.pt")
    found = read_weights(tmp_path / "model.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".safetensors"])
def test_a_pickled_object_is_refused_and_its_code_does_not_run(tmp_path: Path, suffix: str) -> None:
    marker = tmp_path / "ran"
    target = tmp_path / f"model{suffix}"
    torch.save({"w": torch.zeros(2), "evil": Payload(marker)}, target)
    with pytest.raises(SettingsError, match=f"model{suffix}"):
        read_weights(target)
    target.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(SettingsError, match=f"model{suffix}"):
        read_weights(target)
    assert not marker.exists()
    # The payload is real: unpickling it does run.
    pickle.loads(target.read_bytes())
    assert marker.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x00" * 64])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    target = tmp_path / f"model{suffix}"
    target.write_bytes(content)
    with pytest.raises(SettingsError, match=r"model\.") as caught:
        read_weights(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keys", [("student", "teacher"), ("state_dict", "state_dict_ema")])
def test_a_file_of_two_networks_is_refused_with_the_choices(
    tmp_path: Path, architecture: Make, keys: tuple[str, str]
) -> None:
    states = {key: build(architecture(), number).state_dict() for number, key in enumerate(keys)}
    # A few tensors beside them are no third one.
    torch.save({**states, "scaler": {"scale": torch.ones(1)}, "epoch": 3}, tmp_path / "two.pt")
    with pytest.raises(SettingsError, match=rf"holds 2 networks\..*transfer\.weights={keys[0]} \| {keys[1]}"):
        read_weights(tmp_path / "two.pt")
    with pytest.raises(SettingsError, match="none of them other"):
        read_weights(tmp_path / "two.pt", "other")
    chosen = read_weights(tmp_path / "two.pt", keys[1])
    assert all(torch.equal(chosen[name], tensor) for name, tensor in states[keys[1]].items())
    torch.save({keys[1]: states[keys[1]], "epoch": 3}, tmp_path / "one.pt")
    assert read_weights(tmp_path / "one.pt").keys() == chosen.keys()


def test_a_part_of_plain_names_is_chosen_by_their_beginning(tmp_path: Path, architecture: Make) -> None:
    state = build(architecture(), 1).state_dict()
    two = {f"{key}.{name}": tensor for key in ("online", "target") for name, tensor in state.items()}
    torch.save(two, tmp_path / "two.pt")
    assert read_weights(tmp_path / "two.pt", "online").keys() == state.keys()
    with pytest.raises(SettingsError, match="They begin with: online, target"):
        read_weights(tmp_path / "two.pt", "teacher")


def test_a_folder_is_no_file_and_its_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.pt").touch()
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(SettingsError, match=r"a folder.*one of its files: a\.safetensors, b\.pt"):
        read_weights(tmp_path)


def test_two_tensors_for_one_place_are_two_networks(architecture: Make) -> None:
    one, two = (build(architecture(), seed).backbone.state_dict() for seed in (1, 2))
    both = {f"{key}.{name}": t for key, s in (("encoder", one), ("module", two)) for name, t in s.items()}
    network = build(architecture(), 3)
    with pytest.raises(SettingsError, match=r"two networks.*transfer\.weights=encoder \| module"):
        load_checkpoint(network, both)
    # The same tensors under two names leave no doubt.
    twice = {f"{key}.{name}": tensor for key in ("encoder", "module") for name, tensor in one.items()}
    assert len(load_checkpoint(network, twice).taken) == len(one)


def test_missing_files_and_files_without_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no such weights file.*transfer\.file"):
        read_weights(tmp_path / "absent.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(SettingsError, match="no state dict of tensors"):
        read_weights(tmp_path / "empty.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(SettingsError, match="no state dict of tensors"):
        read_weights(tmp_path / "list.pt")


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "module.model.", "backbone.", "_orig_mod.", "network.backbone."]
)
def test_matching_takes_backbones_by_any_usual_name(architecture: Make, prefix: str) -> None:
    source, target = build(architecture(), 1), build(architecture(), 2)
    state = {f"{prefix}{name}": tensor for name, tensor in source.backbone.state_dict().items()}
    taken = load_checkpoint(target, state).taken
    assert taken == sorted(f"backbone.{name}" for name in source.backbone.state_dict())
    for name, tensor in source.backbone.state_dict().items():
        assert torch.equal(target.backbone.state_dict()[name], tensor)


def test_what_does_not_fit_keeps_the_networks_own_weights(architecture: Make) -> None:
    source, target = build(architecture(classes=5), 1), build(architecture(classes=3), 2)
    own = target.head.weight.clone()
    match = load_checkpoint(target, {**source.state_dict(), "unknown": torch.zeros(3)})
    assert not any(name.startswith("head") for name in match.taken)
    assert sorted(match.unexpected) == ["head.bias", "head.weight", "unknown"]
    assert torch.equal(target.head.weight, own)
    nothing = load_checkpoint(target, {"unknown": torch.zeros(3)})
    assert nothing.taken == []
    assert nothing.missing == [name for name in target.state_dict() if name.startswith("backbone.")]
