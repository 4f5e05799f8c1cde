"""One scan on its way to the network: what a worker of batch inference does.

Apart from the rest of batch inference, so that worker processes import neither runtimes nor pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scanlens.config.schema import Checks
from scanlens.errors import UnreadableScan
from scanlens.manifest.checks import problem
from scanlens.maps.geometry import ScanGeometry, geometry_of
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.scaling.limits import Failed
from scanlens.sources.read import read_with_sum
from scanlens.types import ImageArray


@dataclass(frozen=True)
class Ready:
    """A preprocessed scan.

    Attributes:
        reference: Which one.
        scan_id: First 16 hexadecimal digits of its content's SHA-256.
        pixels: The network's input, float32 in [0, 1], ``(channel, *spatial)``.
        geometry: How the scan lies in the network's grid; None where nobody asked.
    """

    reference: str
    scan_id: str
    pixels: ImageArray
    geometry: ScanGeometry | None = None


@dataclass(frozen=True)
class Reader:
    """Read and preprocess scans below one folder; picklable, as workers need it.

    Attributes:
        root: The folder.
        dims: 2 or 3.
        checks: What a scan must be.
        preprocessor: The training's own.
        located: Whether the geometry is wanted.
    """

    root: Path
    dims: int
    checks: Checks
    preprocessor: Preprocessor
    located: bool = False

    def __call__(self, reference: str) -> Ready | Failed:
        """Return the network's input, or why there is none."""
        try:
            scan, sha256 = read_with_sum(
                self.root, reference, dims=self.dims, max_pixels=self.checks.max_pixels
            )
            if reason := problem(scan, self.dims, self.checks):
                return Failed(reason)
            pixels = self.preprocessor.apply(scan, reference)
            geometry = geometry_of(scan, self.preprocessor, reference) if self.located else None
            return Ready(reference, sha256[:16], pixels, geometry)
        except UnreadableScan as error:
            return Failed(error.reason)
