"""First weights: taken from where the settings say, refused where nothing fits."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

from scanlens.atomic import write_json
from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.ensemble import Ensemble
from scanlens.models.registry import build
from scanlens.models.transfer import initialise
from scanlens.models.weights import save_weights
from tests.helpers.tiny import transfer

Make = Callable[..., Architecture]


def test_scratch_changes_nothing(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    network = build(made, 1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first = initialise(network, made, transfer(source="none"), tmp_path / "absent.safetensors")
    assert first.facts() == {"first_weights": "none", "tensors_loaded": 0}
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("source", ["pretraining", "file"])
def test_weights_come_from_the_file_named(tmp_path: Path, architecture: Make, source: str) -> None:
    made = architecture()
    donor, network = build(made, 1), build(made, 2)
    donor.displacement.fill_(0.25)
    target = tmp_path / "donor.safetensors"
    save_weights(donor, target)
    chosen = transfer(source=source, file=str(target) if source == "file" else None)
    pretrained = target if source == "pretraining" else tmp_path / "absent.safetensors"
    # Where the donor came to look is nothing to start from.
    learnt = {name: tensor for name, tensor in donor.state_dict().items() if name != "displacement"}
    assert len(initialise(network, made, chosen, pretrained)) == len(learnt)
    for name, tensor in learnt.items():
        assert torch.equal(network.state_dict()[name], tensor)
    assert not network.displacement.any()


def test_another_number_of_classes_keeps_a_fresh_head(tmp_path: Path, architecture: Make) -> None:
    save_weights(build(architecture(classes=7), 1), tmp_path / "donor.safetensors")
    made = architecture(classes=2)
    network = build(made, 2)
    first = initialise(network, made, transfer(source="pretraining"), tmp_path / "donor.safetensors")
    taken = first.match.taken
    assert taken
    assert all(name.startswith("backbone.") for name in taken)
    assert torch.equal(network.head.weight, build(made, 2).head.weight)


def test_weights_of_another_network_are_refused(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    other = torch.nn.ModuleDict({"head": torch.nn.Linear(build(made).head.in_features, made.classes)})
    save_weights(other, tmp_path / "other.safetensors")
    chosen = transfer(source="file", file=str(tmp_path / "other.safetensors"))
    with pytest.raises(SettingsError, match=r"other\.safetensors does not fit cnn: 0 of"):
        initialise(build(made), made, chosen, Path("absent"))


def test_a_network_without_weights_before_its_head_takes_what_there_is(
    tmp_path: Path, architecture: Make
) -> None:
    made = architecture(name="dense", hidden=(4,), pooling="flatten", width=1.0)
    donor, network = build(made, 1), build(made, 2)
    save_weights(donor, tmp_path / "donor.safetensors")
    initialise(network, made, transfer(source="pretraining"), tmp_path / "donor.safetensors")
    assert torch.equal(network.head.weight, donor.head.weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_blamed_on_the_file(
    tmp_path: Path, architecture: Make, value: float
) -> None:
    made = architecture()
    donor, network = build(made, 1), build(made, 2)
    with torch.no_grad():
        first = next(name for name, _ in donor.named_parameters() if name.startswith("backbone."))
        donor.get_parameter(first).view(-1)[3] = value
    save_weights(donor, tmp_path / "donor.safetensors")
    chosen = transfer(source="file", file=str(tmp_path / "donor.safetensors"))
    with pytest.raises(
        SettingsError, match=rf"donor\.safetensors holds .* in 1 of \d+ tensors: {first}\. The file"
    ):
        initialise(network, made, chosen, Path("absent"))
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_missing_sources_are_refused(tmp_path: Path, architecture: Make) -> None:
    made = architecture()
    with pytest.raises(SettingsError, match="no such weights file"):
        initialise(build(made), made, transfer(source="pretraining"), tmp_path / "absent.safetensors")
    with pytest.raises(SettingsError, match=r"imagenet fits timm's networks.*transfer=file"):
        initialise(build(made), made, transfer(source="imagenet"), tmp_path)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A port where nobody listens for a hub, and an empty cache."""
    from huggingface_hub import constants

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_hub_that_does_not_answer_is_said_in_one_line(no_hub: Path, architecture: Make) -> None:
    made = architecture(name="resnet18", library="timm", size=(32, 32), width=1.0)
    with pytest.raises(SettingsError, match=r"resnet18.*hub does not answer.*transfer\.file=PATH") as caught:
        initialise(build(made), made, transfer(source="imagenet"), no_hub)
    assert "\n" not in str(caught.value)


def test_a_server_of_its_own_that_does_not_answer_is_said_too(
    no_hub: Path, architecture: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr("scanlens.models.transfer.hub_answers", lambda address: asked.append(address))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(no_hub))
    made = architecture(name="legacy_xception", library="timm", size=(64, 64), width=1.0)
    with pytest.raises(SettingsError, match=r"xception.*hub does not answer.*transfer\.file=PATH"):
        initialise(build(made), made, transfer(source="imagenet"), no_hub)
    assert [str(address).startswith("https://github.com/") for address in asked] == [True]
    # What was downloaded before is not asked for, and read by timm itself.
    (no_hub / "checkpoints").mkdir(parents=True)
    (no_hub / "checkpoints" / str(asked[0]).rpartition("/")[2]).write_bytes(b"")
    network = build(made)
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        initialise(network, made, transfer(source="imagenet"), no_hub)
    assert len(asked) == 1


def test_weights_that_do_not_fit_the_arguments_are_not_blamed_on_the_hub(
    no_hub: Path, architecture: Make
) -> None:
    snapshot = no_hub / "models--timm--resnet18.a1_in1k" / "snapshots" / ("0" * 40)
    save_weights(timm.create_model("resnet18", pretrained=False), snapshot / "model.safetensors")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    made = architecture(
        name="resnet18", library="timm", size=(32, 32), width=1.0, args={"channels": [32, 64, 128, 256]}
    )
    with pytest.raises(SettingsError, match=r"can't be loaded.*Check model\.args") as caught:
        initialise(build(made), made, transfer(source="imagenet"), no_hub)
    assert "\n" not in str(caught.value)


def test_a_hub_that_accepts_but_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    from scanlens.models import transfer as module

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(module, "HUB_SECONDS", 0.2)
        assert not module.hub_answers()


def test_weights_fetched_before_are_found_without_the_hub(no_hub: Path, architecture: Make) -> None:
    torch.manual_seed(0)
    source = timm.create_model("resnet18", pretrained=False)
    snapshot = no_hub / "models--timm--resnet18.a1_in1k" / "snapshots" / ("0" * 40)
    save_weights(source, snapshot / "model.safetensors")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0" * 40)
    made = architecture(name="resnet18", library="timm", size=(32, 32), width=1.0)
    network = build(made, 3)
    first = initialise(network, made, transfer(source="imagenet", weights="resnet18.a1_in1k"), no_hub)
    assert torch.equal(network.backbone.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    assert first.match.missing == []
    assert first.match.adapted == ["backbone.conv1.weight"]
    origin = first.facts()["first_weights_from"]
    assert origin["weights"] == "resnet18.a1_in1k"
    assert origin["licence"] == "apache-2.0"
    assert origin["trained_with"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert origin["trained_with"]["input_size"] == [3, 224, 224]


def test_unknown_weights_by_name_are_refused_with_those_known(no_hub: Path, architecture: Make) -> None:
    made = architecture(name="resnet18", library="timm", size=(32, 32), width=1.0)
    for weights in ("resnet18.nobody", "resnet50.a1_in1k"):
        with pytest.raises(SettingsError, match=rf"{weights} is none of timm's resnet18.*resnet18\.a1_in1k"):
            initialise(build(made), made, transfer(source="imagenet", weights=weights), no_hub)


@pytest.mark.parametrize("members", [1, 2])
def test_a_bundle_gives_its_backbone_and_no_head(tmp_path: Path, architecture: Make, members: int) -> None:
    made = architecture()
    donors = [build(made, 1), build(made, 2)][:members]
    whole = donors[0] if members == 1 else Ensemble(donors)
    sha256 = save_weights(whole, tmp_path / "bundle" / "model.safetensors")
    description = {"bundle_id": "b" * 16, "files": {"model.safetensors": sha256}}
    write_json(tmp_path / "bundle" / "bundle.json", description)
    network = build(made, 7)
    chosen = transfer(source="bundle", file=str(tmp_path / "bundle"))
    first = initialise(network, made, chosen, Path("absent"))
    assert first.facts()["first_weights_from"]["bundle_id"] == "b" * 16
    for name, tensor in donors[0].backbone.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], tensor)
    assert torch.equal(network.head.weight, build(made, 7).head.weight)
    save_weights(build(made, 5), tmp_path / "bundle" / "model.safetensors")
    with pytest.raises(SettingsError, match=r"altered since packaging"):
        initialise(network, made, chosen, Path("absent"))
    with pytest.raises(SettingsError, match=r"no readable bundle.*a bundle's folder"):
        initialise(network, made, transfer(source="bundle", file=str(tmp_path)), Path("absent"))
