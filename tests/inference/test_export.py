"""The exported computation is the network's, for any batch and for volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from scanlens.errors import ScanlensError
from scanlens.inference import export
from scanlens.models.registry import build, resolve
from tests.helpers.tiny import model


@pytest.mark.parametrize("shape", [(3, 20, 16), (1, 8, 12, 8)])
def test_local_logits_of_any_batch(tmp_path: Path, shape: tuple[int, ...]) -> None:
    architecture = resolve(model(), shape, 3)
    network = build(architecture, 1).eval()
    difference = export.export_onnx(network, architecture, tmp_path / "model.onnx")
    assert difference < 1e-4
    # One file: weights beside it would be forgotten when it is copied.
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        scans = torch.randn(count, *shape)
        with torch.inference_mode():
            expected = network.local_logits(scans).numpy()
        assert np.abs(session.run(None, {"scans": scans.numpy()})[0] - expected).max() < 1e-4


def test_an_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 0.0)
    architecture = resolve(model(), (1, 16, 16), 2)
    with pytest.raises(ScanlensError, match=r"export of cnn differs.*packaging\.onnx=false"):
        export.export_onnx(build(architecture).eval(), architecture, tmp_path / "model.onnx")
