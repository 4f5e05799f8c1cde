"""Every group of ``conf/model``: builds, learns, gives a probability map, exports; images and volumes.

A group that is not in the table fails the first test, so none can be added untested.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scanlens.config.parse import parse
from scanlens.config.schema import Model
from scanlens.models.architecture import Architecture
from scanlens.models.registry import build, resolve_model
from scanlens.packaging.export import export_onnx
from tests.helpers.settings import NETWORKS, model_section

# Changes that make a network small, not different: fewer features or repeats of the same layers.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"width": 0.1, "hidden": [16, 16]},
    "cnn": {"width": 0.25},
    "convnext_tiny": {"args": {"depths": [1, 1, 1, 1], "dims": [16, 32, 64, 128]}},
    "dense": {},
    "densenet121": {},
    "edges": {},
    "efficientnet_b0": {},
    "inception_resnet_v2": {},
    "inception_v3": {},
    "lean": {"width": 0.25},
    "lenet": {},
    "mobilenet_v1": {},
    "mobilenet_v2": {},
    "mobilenetv3_small": {},
    "nasnet": {"args": {"num_features": 384, "stem_size": 16}},
    "pattern": {"width": 0.25},
    "resnet18": {"width": 0.25},
    "resnet34": {"width": 0.25},
    "resnet50": {"width": 0.25},
    "resnet101": {"width": 0.125},
    "resnet152": {"width": 0.125},
    "resnetv2_50": {"args": {"layers": [1, 1, 1, 1]}},
    "swin_tiny": {"args": {"embed_dim": 24, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}},
    "vgg16": {},
    "vgg19": {},
    "vit_tiny": {"args": {"depth": 2}},
    "xception": {},
}
VOLUMES = (
    "alexnet", "cnn", "dense", "densenet121", "edges", "efficientnet_b0", "lean", "lenet", "pattern",
    "resnet18",
    "resnet34", "resnet50", "resnet101", "resnet152",
)  # fmt: skip
DEFAULT = {
    "cnn-2d", "cnn-3d", "pattern-2d", "pattern-3d", "dense-2d", "edges-2d", "lenet-2d", "resnet18-2d",
    "resnet18-3d", "densenet121-2d", "densenet121-3d", "convnext_tiny-2d", "mobilenet_v2-2d", "vit_tiny-2d",
}  # fmt: skip
"""Cases of the default run, one a kind of network."""
# More of the layers of resnet18, resnet50 and vgg16, which are exported.
REPEATS = {"resnet34", "resnet101", "resnet152", "vgg19"}
EXPORTED_ALWAYS = {"edges-2d", "mobilenet_v2-2d", "vit_tiny-2d", "resnet18-3d"}
SHAPES = {2: (2, 32, 28), 3: (1, 20, 20, 24)}
# MONAI's arguments of the same network are others than timm's.
SMALL_VOLUME: dict[str, dict[str, Any]] = {"densenet121": {"args": {"block_config": [2, 2, 2, 2]}}}


def table(names: set[str], quick: set[str]) -> list[Any]:
    """One case a group and dimension; those not of ``quick`` are slow."""
    rows = []
    for name in sorted(names):
        for dims in (2, 3) if name in VOLUMES else (2,):
            case = f"{name}-{dims}d"
            marks = [] if case in quick else [pytest.mark.slow]
            rows.append(pytest.param(name, dims, id=case, marks=marks))
    return rows


def small(name: str, dims: int) -> Architecture:
    """The group with its reductions, for small scans."""
    section = model_section(name)
    changes = {**SMALL[name], **(SMALL_VOLUME.get(name, {}) if dims == 3 else {})}
    section = {**section, **changes, "args": {**section["args"], **changes.get("args", {})}}
    return resolve_model(parse(Model, section, "model"), SHAPES[dims], 3)


def shorten(network: torch.nn.Module) -> None:
    """Keep two of layers that repeat: they export alike, and a hundred of them take a minute."""
    for module in network.modules():
        if isinstance(module, torch.nn.Sequential) and len(module) > 3:
            shapes = [[weights.shape for weights in child.parameters()] for child in module]
            if shapes[1] and all(shape == shapes[1] for shape in shapes[2:]):
                del module[2:]


def test_the_table_holds_every_group() -> None:
    assert sorted(SMALL) == NETWORKS


@pytest.mark.parametrize(("name", "dims"), table(set(SMALL), DEFAULT))
def test_it_builds_learns_and_gives_a_map(name: str, dims: int) -> None:
    architecture = small(name, dims)
    network = build(architecture)
    scans = torch.randn(3, *SHAPES[dims], generator=torch.Generator().manual_seed(1))
    outputs = network(scans)
    assert outputs.shape == (3, 3)
    torch.nn.functional.cross_entropy(outputs, torch.tensor([0, 1, 2])).backward()
    gradients = [weights.grad for weights in network.parameters() if weights.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert sum(float(gradient.abs().sum()) for gradient in gradients if gradient is not None) > 0

    network.eval()
    with torch.inference_mode():
        evidence = network.explain(scans)
        assert evidence.local.shape[:2] == (3, 3)
        assert evidence.local.ndim == 2 + dims
        # More than one cell a side: a map.
        assert min(evidence.local.shape[2:]) >= 2
        torch.testing.assert_close(evidence.logits, network.logits(scans), rtol=1e-4, atol=1e-4)
        mean = evidence.local.flatten(2).mean(2)
        torch.testing.assert_close(mean, evidence.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "dims"), table(set(SMALL) - REPEATS, EXPORTED_ALWAYS))
def test_it_exports(tmp_path: Path, name: str, dims: int) -> None:
    architecture = small(name, dims)
    network = build(architecture)
    shorten(network)
    # Without batch statistics fresh weights of some networks (Inception) make logits of millions.
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.randn(4, *SHAPES[dims], generator=torch.Generator().manual_seed(1)))
    difference = export_onnx(network.eval(), architecture, tmp_path / "model.onnx")
    assert difference < 1e-3
