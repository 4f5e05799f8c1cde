"""A trained network as ONNX: scans in, local logits out. Their mean is the logit, so maps come for free."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scanlens.errors import ScanlensError
from scanlens.models.architecture import Architecture
from scanlens.models.classifier import Classifier

TOLERANCE = 1e-3
"""Greatest difference of a local logit between torch and ONNX Runtime that an export may have."""


class _LocalLogits(nn.Module):
    """The exported computation, as a module of its own because exporters trace ``forward``."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, scans: Tensor) -> Tensor:
        """Local logits of standardised scans."""
        return self.network.local_logits(scans)


def export_onnx(network: Classifier, architecture: Architecture, target: Path) -> float:
    """Write an ONNX file and check it against torch on random input.

    Args:
        network: In evaluation mode.
        architecture: For the input's shape.
        target: The file.

    Returns:
        Greatest difference of a local logit between the two.

    Raises:
        ScanlensError: Where the two disagree by more than ``TOLERANCE``.
    """
    import onnxruntime

    shape = (architecture.channels, *architecture.size)
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(2, *shape, generator=generator)
    module = _LocalLogits(network.to(memory_format=torch.contiguous_format)).eval()
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        # The exporter warns about its own internals.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (example,), str(target), input_names=["scans"], output_names=["local_logits"],
            dynamic_shapes={"scans": {0: batch}}, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    probe = torch.randn(3, *shape, generator=generator)
    with torch.inference_mode():
        expected = module(probe).numpy()
    difference = float(np.abs(session.run(None, {"scans": probe.numpy()})[0] - expected).max())
    if not difference < TOLERANCE:
        raise ScanlensError(
            f"The ONNX export of {architecture.name} differs from torch by {difference:.2g}.",
            "Package without it: packaging.onnx=false.",
        )
    return difference
