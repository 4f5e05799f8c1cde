"""The exported computation is the network's: any batch, any head, volumes, ensembles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from scanlens.errors import ScanlensError
from scanlens.models.architecture import Architecture
from scanlens.models.ensemble import Ensemble, Network
from scanlens.models.registry import build, resolve_model
from scanlens.packaging import export
from tests.helpers.tiny import model


def check_export(network: Network, architecture: Architecture, folder: Path) -> None:
    """ONNX Runtime gives both outputs of batches of one, two and seven."""
    network = network.eval()
    assert export.export_onnx(network, architecture, folder / "model.onnx") < 1e-4
    # One file: weights beside it would be forgotten when it is copied.
    assert [path.name for path in folder.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["logits", "local_logits"]
    noise = torch.Generator().manual_seed(2)
    for count in (1, 2, 7):
        scans = torch.randn(count, architecture.channels, *architecture.size, generator=noise)
        with torch.inference_mode():
            logits, local, _, _ = network.explain(scans)
        found = session.run(None, {"scans": scans.numpy()})
        assert logits.std() > 1e-4
        np.testing.assert_allclose(found[0], logits, atol=1e-4)
        np.testing.assert_allclose(found[1], local, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 20, 16), (1, 8, 12, 8)])
def test_both_outputs_of_any_batch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    architecture = resolve_model(model(), shape, 3)
    check_export(build(architecture, 1), architecture, tmp_path)


@pytest.mark.parametrize(
    ("head", "pooling", "hidden"),
    [
        ("softmax", "average", [6, 5]),
        ("sigmoid", "flatten", []),
        ("softmax", "gem", []),
        ("ordinal", "gem", [6]),
        ("linear", "flatten", [6]),
        ("ordinal", "average", []),
        ("ordinal", "flatten", [6, 5]),
        ("regression", "average", [6]),
    ],
)
def test_heads_pooling_and_hidden_layers(tmp_path: Path, head: str, pooling: Any, hidden: list[int]) -> None:
    tiny = {"blocks": [{"filters": 4}]}
    chosen = model(
        name="pattern", head=head, pooling=pooling, hidden=hidden, activation="leaky_relu", args=tiny
    )
    architecture = resolve_model(chosen, (1, 10, 8), 3)
    check_export(build(architecture, 1), architecture, tmp_path)


def test_the_default_network_of_images_with_both_its_guides(tmp_path: Path) -> None:
    architecture = resolve_model(model(pooling="auto", width=0.1), (1, 128, 112), 3)
    network = build(architecture, 1)
    assert (network.pooling, len(network.guides)) == ("gem", 2)
    check_export(network, architecture, tmp_path)


@pytest.mark.parametrize(("name", "shape"), [("dense", (1, 9, 12, 8)), ("edges", (2, 19, 16))])
def test_baselines(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    chosen = model(name=name, width=1.0, pooling="flatten", hidden=[4], activation="tanh")
    architecture = resolve_model(chosen, shape, 3)
    check_export(build(architecture, 1), architecture, tmp_path)


def test_an_ensemble(tmp_path: Path) -> None:
    architecture = resolve_model(model(head="ordinal"), (1, 16, 12), 3)
    check_export(Ensemble([build(architecture, seed) for seed in range(3)]), architecture, tmp_path)


def test_an_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "EXPORT_TOLERANCE", 0.0)
    architecture = resolve_model(model(), (1, 16, 16), 2)
    with pytest.raises(ScanlensError, match=r"export of cnn differs.*packaging\.onnx=false"):
        export.export_onnx(build(architecture).eval(), architecture, tmp_path / "model.onnx")


def test_what_torch_cannot_export_is_one_line(tmp_path: Path) -> None:
    architecture = resolve_model(model(), (1, 16, 16), 3)
    network = build(architecture).eval()
    network.backbone.register_forward_hook(lambda _, scans, maps: maps if scans[0].sum() > 0 else -maps)
    with pytest.raises(ScanlensError, match=r"can't export cnn to ONNX: [^\n]*\S Package without it: "):
        export.export_onnx(network, architecture, tmp_path / "model.onnx")
