"""Checkpoints in other people's layouts give the features of the networks they were saved from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from monai.networks import nets
from timm.models import adapt_input_conv
from torch import Tensor, nn

from scanlens.errors import SettingsError
from scanlens.models.architecture import Architecture
from scanlens.models.checkpoints import load_checkpoint, resample_kernel, torchvision_children
from scanlens.models.registry import build
from scanlens.models.transfer import initialise
from tests.helpers.tiny import transfer

Make = Callable[..., Architecture]
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
VOLUMES = torch.rand(2, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))


def settle(network: nn.Module, scans: Tensor) -> nn.Module:
    """Batch norms with statistics of their own, as a trained network has."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        network.train()(scans)
    return network.eval()


def from_file(path: Path, architecture: Architecture) -> nn.Module:
    network = build(architecture, 5)
    initialise(network, architecture, transfer(source="file", file=str(path)), Path("absent"))
    return network.eval()


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
@pytest.mark.parametrize("layout", ["torchvision", "radimagenet", "lightning"])
def test_torchvision_networks_in_every_layout(
    tmp_path: Path, architecture: Make, name: str, layout: str
) -> None:
    source = settle(torchvision.models.get_model(name, weights=None), IMAGES)
    if layout == "radimagenet":
        # As its authors save them: the children but the classifier, in a sequence called backbone.
        children = list(source.children())[:-1]
        state = nn.ModuleDict({"backbone": nn.Sequential(*children)}).state_dict()
        assert any(key.startswith("backbone.0.") for key in state)
    elif layout == "lightning":
        state = {"state_dict": {f"model.{k}": v for k, v in source.state_dict().items()}, "epoch": 3}
    else:
        state = source.state_dict()
    torch.save(state, tmp_path / "source.pt")
    made = architecture(name=name, library="timm", channels=3, size=(64, 64), stem="standard", width=1.0)
    network = from_file(tmp_path / "source.pt", made)
    before_pooling = nn.Sequential(*list(source.children())[: -2 if name == "resnet18" else -1])
    with torch.no_grad():
        expected = before_pooling(IMAGES)
        expected = expected.relu() if name == "densenet121" else expected
        torch.testing.assert_close(network.features(IMAGES), expected, rtol=1e-5, atol=1e-5)


def test_inception_by_the_numbers_of_its_children(architecture: Make) -> None:
    """RadImageNet's Inception has no auxiliary classifier: the numbers behind it are one less."""
    torch.manual_seed(0)
    source = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=False)
    children = torchvision_children("inception_v3")
    assert children == [name for name, _ in source.named_children()]
    state = nn.ModuleDict({"backbone": nn.Sequential(*list(source.children())[:-1])}).state_dict()
    made = architecture(
        name="inception_v3", library="timm", channels=3, size=(96, 96), stem="standard", width=1.0
    )
    network = build(made, 1)
    match = load_checkpoint(network, state, "inception_v3")
    assert match.missing == match.unexpected == []
    assert torch.equal(network.backbone.Mixed_7c.branch1x1.conv.weight, source.Mixed_7c.branch1x1.conv.weight)


@pytest.mark.parametrize(("name", "shortcut"), [("resnet18", "A"), ("resnet10", "B")])
def test_medicalnet(tmp_path: Path, architecture: Make, name: str, shortcut: str) -> None:
    """One channel, names below ``module.``, shortcuts of type A, or of type B without biases."""
    source = getattr(nets, name)(
        spatial_dims=3, n_input_channels=1, conv1_t_stride=2, shortcut_type=shortcut, bias_downsample=False,
        num_classes=2,
    )  # fmt: skip
    settle(source, VOLUMES)
    state = {f"module.{k}": v for k, v in source.state_dict().items() if not k.startswith("fc.")}
    state["module.conv_seg.0.weight"] = torch.zeros(4, 4, 2, 2, 2)
    torch.save({"state_dict": state, "epoch": 9}, tmp_path / "medicalnet.pth")
    made = architecture(
        name=name, library="monai", size=(32, 32, 32), stem="standard", width=1.0,
        args={"shortcut_type": shortcut},
    )  # fmt: skip
    network = from_file(tmp_path / "medicalnet.pth", made)
    with torch.no_grad():
        maps = source.act(source.bn1(source.conv1(VOLUMES)))
        expected = source.layer4(source.layer3(source.layer2(source.layer1(source.maxpool(maps)))))
        torch.testing.assert_close(network.features(VOLUMES), expected, rtol=1e-5, atol=1e-5)


def test_another_shortcut_is_said_with_what_to_do(
    tmp_path: Path, architecture: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    source = nets.resnet18(spatial_dims=3, n_input_channels=1, shortcut_type="A", num_classes=2)
    torch.save({f"module.{k}": v for k, v in source.state_dict().items()}, tmp_path / "medicalnet.pth")
    made = architecture(name="resnet18", library="monai", size=(32, 32, 32), stem="standard", width=1.0)
    network = build(made, 1)
    chosen = transfer(source="file", file=str(tmp_path / "medicalnet.pth"))
    facts = initialise(network, made, chosen, Path("absent")).facts()
    assert "model.args.shortcut_type=A" in capsys.readouterr().out
    assert facts["tensors_missing"] == 3 * 7
    assert facts["tensors_unexpected"] == 2
    assert len(facts["first_weights_from"]["sha256"]) == 64


def test_old_names_of_torchvision_densenets(architecture: Make) -> None:
    source = torchvision.models.densenet121(weights=None).state_dict()
    old = {
        key.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): tensor
        for key, tensor in source.items()
    }  # fmt: skip
    assert old.keys() != source.keys()
    made = architecture(
        name="densenet121", library="timm", channels=3, size=(64, 64), stem="standard", width=1.0
    )
    match = load_checkpoint(build(made, 1), old, "densenet121")
    assert match.missing == []
    assert match.unexpected == ["classifier.weight", "classifier.bias"]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_colour_weights_fit_any_number_of_channels_as_timm_makes_them(
    architecture: Make, channels: int
) -> None:
    source = torchvision.models.resnet18(weights=None).state_dict()
    made = architecture(
        name="resnet18", library="timm", channels=channels, size=(64, 64), stem="standard", width=1.0
    )
    network = build(made, 1)
    match = load_checkpoint(network, source, "resnet18")
    assert match.adapted == ["backbone.conv1.weight"]
    torch.testing.assert_close(
        network.backbone.conv1.weight.detach(), adapt_input_conv(channels, source["conv1.weight"])
    )


def test_a_shrunk_stem_takes_its_kernel_resampled(architecture: Make) -> None:
    source = torchvision.models.resnet18(weights=None).state_dict()
    made = architecture(name="resnet18", library="timm", channels=3, size=(32, 32), stem="small", width=1.0)
    network = build(made, 1)
    assert load_checkpoint(network, source, "resnet18").adapted == ["backbone.conv1.weight"]
    kernel = network.backbone.conv1.weight.detach()
    assert kernel.shape == (64, 3, 3, 3)
    torch.testing.assert_close(kernel, resample_kernel(source["conv1.weight"], (3, 3)))


@pytest.mark.parametrize(("old", "new"), [((7, 7), (3, 3)), ((7, 7, 7), (3, 3, 3)), ((4, 6), (2, 3))])
def test_a_resampled_kernel_keeps_its_sum(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    kernel = torch.randn(5, 2, *old, generator=torch.Generator().manual_seed(0))
    resampled = resample_kernel(kernel, new)
    assert resampled.shape == (5, 2, *new)
    torch.testing.assert_close(resampled.flatten(2).sum(2), kernel.flatten(2).sum(2), rtol=1e-4, atol=1e-5)
    if all(a % b == 0 for a, b in zip(old, new, strict=True)):
        pooled = nn.functional.avg_pool2d(kernel, (old[0] // new[0], old[1] // new[1])) * 4
        torch.testing.assert_close(resampled, pooled)


def test_a_wrappers_word_may_be_the_networks_own() -> None:
    network = nn.ModuleDict({"backbone": nn.ModuleDict({"network": nn.Sequential(nn.Linear(3, 2))})})
    state = {
        f"network.0.{name}": torch.ones_like(tensor) for name, tensor in nn.Linear(3, 2).state_dict().items()
    }
    assert load_checkpoint(network, state).missing == []
    # Wrapped, it is found as well.
    network["backbone"]["network"][0].reset_parameters()
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    assert load_checkpoint(network, wrapped).missing == []


def test_less_than_half_is_refused_by_name_and_changes_nothing(tmp_path: Path, architecture: Make) -> None:
    source = torchvision.models.resnet18(weights=None).state_dict()
    part = {
        key: tensor for key, tensor in source.items() if not key.startswith(("layer2", "layer3", "layer4"))
    }
    torch.save({"another.weight": torch.zeros(3), **part}, tmp_path / "part.pt")
    made = architecture(
        name="resnet18", library="timm", channels=3, size=(64, 64), stem="standard", width=1.0
    )
    network = build(made, 1)
    chosen = transfer(source="file", file=str(tmp_path / "part.pt"))
    with pytest.raises(SettingsError, match=r"25 of 100 tensors.*layer2.*72 more.*another\.weight"):
        initialise(network, made, chosen, tmp_path)
    assert torch.equal(network.backbone.conv1.weight, build(made, 1).backbone.conv1.weight)
