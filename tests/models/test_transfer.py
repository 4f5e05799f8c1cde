"""First weights: taken from where the settings say, refused where nothing fits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.registry import build
from scanlens.models.transfer import initialise
from scanlens.models.weights import save_weights
from tests.helpers.tiny import transfer

Make = Callable[..., Architecture]


def test_scratch_changes_nothing(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    network = build(made, 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert initialise(network, made, transfer(source="none"), tmp_path / "absent.safetensors") == []
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("source", ["pretraining", "file"])
def test_weights_come_from_the_file_named(tmp_path: Path, architecture: Make, source: str) -> None:
    made = architecture()
    donor, network = build(made, 1), build(made, 2)
    target = tmp_path / "donor.safetensors"
    save_weights(donor, target)
    chosen = transfer(source=source, file=str(target) if source == "file" else None)
    pretrained = target if source == "pretraining" else tmp_path / "absent.safetensors"
    assert len(initialise(network, made, chosen, pretrained)) == len(donor.state_dict())
    for name, tensor in donor.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor)


def test_another_number_of_classes_keeps_a_fresh_head(tmp_path: Path, architecture: Make) -> None:
    save_weights(build(architecture(classes=7), 1), tmp_path / "donor.safetensors")
    made = architecture(classes=2)
    network = build(made, 2)
    taken = initialise(network, made, transfer(source="pretraining"), tmp_path / "donor.safetensors")
    assert taken
    assert all(name.startswith("backbone.") for name in taken)
    assert torch.equal(network.head.weight, build(made, 2).head.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    other = torch.nn.ModuleDict({"head": torch.nn.Linear(build(made).head.in_features, made.classes)})
    save_weights(other, tmp_path / "other.safetensors")
    chosen = transfer(source="file", file=str(tmp_path / "other.safetensors"))
    with pytest.raises(SettingsError, match=r"No tensor of .*other\.safetensors fits cnn"):
        initialise(build(made), made, chosen, Path("absent"))


def test_missing_sources_are_refused(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    with pytest.raises(SettingsError, match=r"transfer\.file must be given"):
        initialise(build(made), made, transfer(source="file"), tmp_path)
    with pytest.raises(SettingsError, match="no such weights file"):
        initialise(build(made), made, transfer(source="pretraining"), tmp_path / "absent.safetensors")
    with pytest.raises(SettingsError, match=r"imagenet fits images only.*transfer=file"):
        initialise(build(made), made, transfer(source="imagenet"), tmp_path)


def test_a_hub_that_does_not_answer_is_said_in_one_line(
    tmp_path: Path, architecture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    made = architecture(name="resnet18", library="timm", size=(32, 32))
    with pytest.raises(SettingsError, match=r"resnet18.*hub does not answer.*transfer=file"):
        initialise(build(made), made, transfer(source="imagenet"), tmp_path)
