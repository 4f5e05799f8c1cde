"""Maps of the registry's networks against pytorch-grad-cam, before its rescaling.

``python -m tests.methods.test_cam_equality`` prints the table of ``docs/maps.md``.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from scanlens.config.parse import parse
from scanlens.config.schema import Model
from scanlens.methods.gradcam import CAM_METHODS, class_maps
from scanlens.methods.target import split
from scanlens.models.classifier import Classifier
from scanlens.models.registry import build, resolve_model
from tests.helpers.settings import NETWORKS, model_section

PROJECT = Path(__file__).resolve().parents[2]
CLASSES = 3
BAR = 1e-5
"""Largest difference, as a share of the map's greatest magnitude before its positive part is kept."""
PEERS = {
    "grad_cam": "GradCAM",
    "hires_cam": "HiResCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "layer_cam": "LayerCAM",
}


class Case(NamedTuple):
    """A group of ``conf/model`` with changes that make it small, and layers besides the backbone's output.

    The layers end in an activation or a sum of such. Where features sum to less than zero over cells the
    quotient of Grad-CAM++ passes through zero and rounding decides; before a norm over features (inside
    ConvNeXt and ViT) HiResCAM is zero by construction, and nothing but rounding.
    """

    name: str
    dims: int
    changes: dict[str, Any]
    layers: tuple[str, ...] = ()
    side: int = 64


SMALL_DENSENET: dict[str, Any] = {"args": {"block_config": [2, 2, 2, 2]}}
SMALL_SWIN = {"embed_dim": 24, "depths": [2, 2], "num_heads": [1, 2]}
CASES = [
    Case("cnn", 2, {"width": 0.5}, ("2", "1.layers.2")),
    Case("pattern", 2, {"width": 0.5}, ("1",)),
    Case("cnn", 2, {"width": 0.5, "pooling": "flatten", "hidden": [8]}, ("2",)),
    Case("resnet18", 2, {"width": 0.25}, ("layer3", "layer2.0.act1")),
    Case("resnet50", 2, {"width": 0.125, "head": "ordinal"}, ("layer3",)),
    Case(
        "densenet121", 2, SMALL_DENSENET, ("features.denseblock3", "features.denseblock2.denselayer2.norm2")
    ),
    Case("vgg16", 2, {}, ("features.30",)),
    Case(
        "convnext_tiny",
        2,
        {"args": {"depths": [1, 1, 1, 1], "dims": [16, 32, 64, 96]}},
        ("stages.2.blocks.0.mlp.act",),
    ),
    Case("efficientnet_b0", 2, {"hidden": [8], "activation": "tanh"}, ("blocks.4",)),
    Case("mobilenet_v2", 2, {}, ("blocks.4",)),
    Case("inception_v3", 2, {}, ("Mixed_6c",), 96),
    Case("vit_tiny", 2, {"args": {"depth": 2, "embed_dim": 48}}, ("blocks.0.mlp.act",)),
    Case("swin_tiny", 2, {"args": SMALL_SWIN}, ("layers.0",)),
    Case("cnn", 3, {"width": 0.5}, ("1",), 24),
    Case("pattern", 3, {"width": 0.25}, ("1",), 24),
    Case("resnet10", 3, {"width": 0.25}, ("layers.2",), 24),
    Case("resnet18", 3, {"width": 0.25, "head": "regression"}, ("layers.1",), 24),
    Case(
        "densenet121",
        3,
        {"args": {"block_config": [2, 2, 2, 2]}},
        ("layers.denseblock3.denselayer1.layers.relu2",),
        24,
    ),
    Case("efficientnet_b0", 3, {}, ("layers.3",), 24),
]


DEFAULT = {
    "cnn-2d",
    "cnn-2d-flatten",
    "resnet18-2d",
    "densenet121-2d",
    "vit_tiny-2d",
    "cnn-3d",
    "resnet10-3d",
}
"""Cases of the default run."""


class Logits(nn.Module):
    """A classifier whose ``forward`` gives logits, as peers expect it, and that works nowhere in place.

    The peers keep a layer's output as it is when the pass has ended: an activation behind it that works in
    cell would have changed it, though the gradient is that of the value before.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in self.network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        return self.network.logits(scans)

    def layer(self, name: str | None) -> nn.Module:
        backbone = self.network.backbone
        return backbone if name is None else backbone.get_submodule(name)


def build_case(case: Case) -> tuple[Classifier, torch.Tensor]:
    """The network with batch statistics and gains as after training, and two scans."""
    is_group = case.name in NETWORKS
    section = model_section(case.name) if is_group else {**model_section("base"), "name": case.name}
    section |= case.changes
    side = case.side
    shape = (1, side, side - 8) if case.dims == 2 else (1, side, side, side - 4)
    network = build(resolve_model(parse(Model, section, "model"), shape, CLASSES))
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
    with torch.no_grad():
        network(torch.randn(4, *shape, generator=generator))
    return network.eval(), torch.randn(2, *shape, generator=generator)


def difference(ours: np.ndarray, signed: np.ndarray) -> float:
    """Largest difference of maps from the positive part of the peer's, both ``(batch, class, *grid)``."""
    cells = tuple(range(2, signed.ndim))
    off = np.abs(ours - np.maximum(signed, 0)).max(cells)
    return float((off / np.abs(signed).max(cells)).max())


def by_peer(network: Classifier, scans: torch.Tensor, layer: str | None) -> dict[str, np.ndarray]:
    """Signed maps of every method by pytorch-grad-cam; a pass forth and back a class serves them all."""
    import pytorch_grad_cam
    from pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients

    whole = Logits(network)
    read = split(network, scans, layer).read
    target = whole.layer(layer)
    recorder = ActivationsAndGradients(whole, [target], read)
    maps: dict[str, list[np.ndarray]] = {method: [] for method in CAM_METHODS}
    for number in range(CLASSES):
        recorder(scans)[:, number].sum().backward()
        values, slopes = recorder.activations[0].numpy(), recorder.gradients[0].numpy()
        for method, name in PEERS.items():
            with getattr(pytorch_grad_cam, name)(whole, [target], read) as peer:
                maps[method].append(peer.get_cam_image(scans, target, [], values, slopes, False))
    recorder.release()
    return {method: np.stack(found, 1) for method, found in maps.items()}


def differences(case: Case) -> dict[tuple[str | None, str], float]:
    """Of each layer and method."""
    network, scans = build_case(case)
    found = {}
    for layer in (None, *case.layers):
        theirs = by_peer(network, scans, layer)
        for method in CAM_METHODS:
            assert (theirs[method] > 0).any(), f"{layer} {method}: there should be something to compare"
            found[layer, method] = difference(
                class_maps(network, scans, method, layer).numpy(), theirs[method]
            )
    return found


def identify(case: Case) -> str:
    made = "".join(f"-{value}" for key, value in case.changes.items() if key in ("pooling", "head"))
    return f"{case.name}-{case.dims}d{made}"


def rows() -> list[Any]:
    """Every case; those not of :data:`DEFAULT` are slow."""
    return [
        pytest.param(case, id=identify(case), marks=[] if identify(case) in DEFAULT else [pytest.mark.slow])
        for case in CASES
    ]


@pytest.mark.parametrize("case", rows())
def test_every_method_equals_pytorch_grad_cam_before_its_rescaling(case: Case) -> None:
    pytest.importorskip(
        "pytorch_grad_cam", reason="pip install --no-deps grad-cam ttach: it pulls an OpenCV with windows"
    )
    found = differences(case)
    assert max(found.values()) <= BAR, found


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("resnet10", "resnet18")], ids=identify)
def test_grad_cam_equals_captum(case: Case) -> None:
    network, scans = build_case(case)
    whole = Logits(network)
    for layer in (None, *case.layers):
        ours = class_maps(network, scans, "grad_cam", layer).numpy()
        captum = LayerGradCam(whole, whole.layer(layer))
        theirs = [captum.attribute(scans, target=number).detach().numpy()[:, 0] for number in range(CLASSES)]
        assert difference(ours, np.stack(theirs, 1)) <= BAR


def main() -> None:
    """Print the table."""
    print("| network | layer | Grad-CAM | HiResCAM | Grad-CAM++ | LayerCAM |\n|---|---|---|---|---|---|")
    for case in CASES:
        found = differences(case)
        for layer in (None, *case.layers):
            cells = " | ".join(f"{found[layer, method]:.0e}" for method in CAM_METHODS)
            where = "backbone's output" if layer is None else f"`{layer}`"
            print(f"| {identify(case)} | {where} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
