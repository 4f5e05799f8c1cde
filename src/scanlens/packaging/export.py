"""A trained network as ONNX: scans in, logits and local logits out, so maps come for free."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scanlens.errors import ScanlensError
from scanlens.models.architecture import Architecture
from scanlens.models.ensemble import Network

EXPORT_TOLERANCE = 1e-3
"""Greatest difference between torch and ONNX Runtime that an export may have, in shares of the largest value
where that is above 1: local logits of a flattening network grow with its number of cells."""


class _Judgement(nn.Module):
    """The exported computation, as a module of its own because exporters trace ``forward``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, scans: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and local logits of standardised scans."""
        evidence = self.network.explain(scans)
        return evidence.logits, evidence.local


def export_onnx(network: Network, architecture: Architecture, target: Path) -> float:
    """Write an ONNX file and check it against torch on random input.

    Args:
        network: One or an ensemble, in evaluation mode.
        architecture: For the input's shape.
        target: The file.

    Returns:
        Greatest difference of a logit or local logit between the two.

    Raises:
        ScanlensError: Where torch can't export the network, or the two disagree by more than ``TOLERANCE``.
    """
    import onnxruntime

    shape = (architecture.channels, *architecture.size)
    generator = torch.Generator().manual_seed(0)
    example = torch.randn(2, *shape, generator=generator)
    module = _Judgement(network.to(memory_format=torch.contiguous_format)).eval()
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        # The exporter warns about its own internals.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module, (example,), str(target), input_names=["scans"],
                output_names=["logits", "local_logits"], dynamic_shapes={"scans": {0: batch}}, dynamo=True,
                external_data=False, verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter's own exceptions are private, and differ by step
            said = str(error.__cause__ or error).strip() or type(error).__name__
            raise ScanlensError(
                f"torch can't export {architecture.name} to ONNX: {said.splitlines()[0]}",
                "Package without it: packaging.onnx=false.",
            ) from error
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    probe = torch.randn(3, *shape, generator=generator)
    with torch.inference_mode():
        expected = [part.numpy() for part in module(probe)]
    found = session.run(None, {"scans": probe.numpy()})
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    if not difference < EXPORT_TOLERANCE * max(1.0, *(float(np.abs(part).max()) for part in expected)):
        raise ScanlensError(
            f"The ONNX export of {architecture.name} differs from torch by {difference:.2g}.",
            "Package without it: packaging.onnx=false.",
        )
    return difference
