"""The way back from the network's grid to the pixels of the scan it was made from.

Crop, resampling and padding all run along the axes, so the way back of a map is one linear interpolation an
axis, straight from the map's cells to the scan's pixels: nothing is interpolated twice. Pixels are areas,
as in :mod:`scanlens.preprocess.geometry`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanlens.maps.masks import MAX_PIXELS
from scanlens.maps.probability import linear_weights
from scanlens.preprocess.geometry import Box, Placement
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.slices import middle
from scanlens.preprocess.spacing import known
from scanlens.preprocess.store import Store
from scanlens.sources.read import read_scan
from scanlens.types import FloatArray, Scan


@dataclass(frozen=True)
class ScanGeometry:
    """How one scan lies in the network's grid, and in the world.

    Attributes:
        spatial: The scan's own pixels along each spatial axis.
        size: The grid's (the store's).
        placement: Where the scan lies in the grid.
        slices: Of a volume that became an image: the slices the network saw. None where the axes agree.
        spacing: The scan's millimetres along each of its axes; None where unknown.
        orientation: As :attr:`scanlens.types.Scan.orientation`.
        affine: As :attr:`scanlens.types.Scan.affine`.
    """

    spatial: tuple[int, ...]
    size: tuple[int, ...]
    placement: Placement
    slices: slice | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str = ""
    affine: FloatArray | None = field(default=None, repr=False)

    @property
    def inside(self) -> Box:
        """The part of the grid that shows the scan; the rest is padding."""
        return self.placement.place

    @property
    def grid_spacing(self) -> tuple[float, ...] | None:
        """Millimetres of a pixel of the grid along each of its axes; None where the scan's are unknown."""
        if self.spacing is None:
            return None
        own = self.spacing[-len(self.size) :]
        parts = zip(own, self.placement.box, self.placement.shape, strict=True)
        return tuple(step * (box.stop - box.start) / side for step, box, side in parts)

    def box_in_scan(self, low: Sequence[int], high: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The scan's pixels that a box of the grid touches.

        Args:
            low: First pixel of the box along each axis of the grid.
            high: The pixel after its last.

        Returns:
            The same two of the scan, within the part that was used; of a volume that became an image all
            slices that the network saw.
        """
        # Whole numbers are pixel centres there, and edges here.
        first = self.placement.to_scan([side - 0.5 for side in low])
        last = self.placement.to_scan([side - 0.5 for side in high])
        # 1e-6: an edge that falls on an edge must not touch the next pixel by a rounding error.
        lows = [int(np.floor(side + 0.5 + 1e-6)) for side in first]
        highs = [int(np.ceil(side + 0.5 - 1e-6)) for side in last]
        box = self.placement.box
        lows = [max(side, part.start) for side, part in zip(lows, box, strict=True)]
        highs = [min(side, part.stop) for side, part in zip(highs, box, strict=True)]
        if self.slices is not None:
            lows, highs = [self.slices.start, *lows], [self.slices.stop, *highs]
        return tuple(lows), tuple(highs)

    def pixel_in_scan(self, position: Sequence[int]) -> tuple[int, ...]:
        """The scan's pixel under the centre of a pixel of the grid; of several slices the middle one."""
        found = [
            min(max(round(side), part.start), part.stop - 1)
            for side, part in zip(self.placement.to_scan(position), self.placement.box, strict=True)
        ]
        if self.slices is not None:
            found = [(self.slices.start + self.slices.stop) // 2, *found]
        return tuple(found)


def scan_geometry(
    preprocessor: Preprocessor,
    spatial: Sequence[int],
    spacing: Sequence[float] | None,
    box: Box | None = None,
    orientation: str = "",
    affine: FloatArray | None = None,
) -> ScanGeometry:
    """What is known of a scan, put together.

    Args:
        preprocessor: What the scan went through.
        spatial: Its pixels along each spatial axis.
        spacing: Its millimetres a pixel; None, or of another length, where unknown.
        box: What :meth:`scanlens.preprocess.preprocessor.Preprocessor.locate` found; None for all of it.
        orientation: Its axis codes.
        affine: Its affine.

    Raises:
        ValueError: As :meth:`scanlens.preprocess.preprocessor.Preprocessor.placement`.

    Example:
        >>> into_4_by_4 = Preprocessor((4, 4), 1, "pad", "minmax", (0, 100), None, 2)
        >>> geometry = scan_geometry(into_4_by_4, (8, 4), (0.5, 0.5))  # halved, and padded at both sides
        >>> geometry.inside, geometry.grid_spacing
        ((slice(0, 4, None), slice(1, 3, None)), (1.0, 1.0))
        >>> geometry.pixel_in_scan((0, 1)), geometry.box_in_scan((0, 1), (1, 2))
        ((0, 0), ((0, 0), (2, 2)))
    """
    sides = tuple(int(side) for side in spatial)
    steps = known(spacing, len(sides))
    return ScanGeometry(
        spatial=sides,
        size=preprocessor.size,
        placement=preprocessor.placement(sides, steps, box),
        slices=_slices_seen(preprocessor.slices, box[0] if box else slice(0, sides[0])),
        spacing=steps,
        orientation=orientation,
        affine=affine,
    )


def geometry_of(scan: Scan, preprocessor: Preprocessor, name: str = "scan") -> ScanGeometry:
    """The geometry of a scan in hand.

    Args:
        scan: As decoded.
        preprocessor: What it goes through.
        name: How to name it in an error.

    Raises:
        UnreadableScan: The preprocessor refuses it.

    Example:
        >>> volume = Scan(np.zeros((1, 5, 4, 4), np.float32))
        >>> three_slices = Preprocessor((4, 4), 1, "pad", "minmax", (0, 100), None, 3, slices=3)
        >>> geometry = geometry_of(volume, three_slices)  # the middle slices become an image
        >>> geometry.spatial, geometry.size, geometry.slices
        ((5, 4, 4), (4, 4), slice(1, 4, None))
    """
    box = None if preprocessor.crop_of(scan.modality) == "none" else preprocessor.locate(scan, name)
    return scan_geometry(
        preprocessor, scan.pixels.shape[1:], scan.spacing, box, scan.orientation, scan.affine
    )


def geometry_reader(
    store: Store, folder: Path, root: Path, *, oriented: bool = False
) -> Callable[[str], ScanGeometry]:
    """A function from a scan's id to its geometry.

    Args:
        store: The preprocessed scans; its index has ``path``, ``modality``, ``shape`` and ``spacing``.
        folder: The store's folder, for ``preprocessor.json``.
        root: The data root.
        oriented: Whether orientation and affine are wanted: then every scan is read again, else only those
            that the preprocessor crops.

    Returns:
        The function; it raises UnreadableScan where a scan has to be read and cannot be.
    """
    preprocessor = Preprocessor.from_json(
        json.loads((folder / "preprocessor.json").read_text(encoding="utf-8"))
    )
    columns = store.index.set_index("scan_id")[["shape", "spacing", "path", "modality"]]

    def read(scan_id: str) -> ScanGeometry:
        row = columns.loc[scan_id].to_dict()
        path = str(row["path"])
        if oriented or preprocessor.crop_of(str(row["modality"])) != "none":
            scan = read_scan(root, path, dims=preprocessor.dims, max_pixels=MAX_PIXELS)
            return geometry_of(scan, preprocessor, path)
        return scan_geometry(preprocessor, row["shape"], tuple(map(float, row["spacing"])))

    return read


def to_scan(maps: FloatArray, geometry: ScanGeometry) -> npt.NDArray[np.float32]:
    """Bring maps back to the scan's own pixels by linear interpolation.

    Args:
        maps: ``(*leading, *grid)``: any number of cells along each axis of the network's grid, whose edges
            they share; the store's own pixels are such a grid too.
        geometry: The scan's.

    Returns:
        float32 ``(*leading, *spatial)``. NaN where the network saw nothing (outside of the crop, slices it
        was not given): a 0 there would be read as a probability.

    Raises:
        ValueError: Fewer axes than the grid has.

    Example:
        >>> into_2_by_2 = Preprocessor((2, 2), 1, "pad", "minmax", (0, 100), None, 2)
        >>> cropped = scan_geometry(into_2_by_2, (4, 5), None, box=(slice(0, 4), slice(0, 4)))
        >>> to_scan(np.array([[0.0, 1.0], [0.0, 1.0]]), cropped)[0].tolist()  # nobody saw the last column
        [0.0, 0.25, 0.75, 1.0, nan]
    """
    axes = len(geometry.size)
    result = np.asarray(maps, dtype=np.float32)
    if result.ndim < axes:
        raise ValueError(f"expected maps with at least {axes} axes, got shape {result.shape}")
    first = result.ndim - axes
    for axis in range(axes):
        weights = _weights(geometry, axis, result.shape[first + axis])
        result = np.moveaxis(np.tensordot(result, weights, axes=(first + axis, 1)), -1, first + axis)
    if geometry.slices is not None:
        whole = np.full((*result.shape[:first], *geometry.spatial), np.nan, np.float32)
        whole[(..., geometry.slices, slice(None), slice(None))] = np.expand_dims(result, first)
        return whole
    return np.ascontiguousarray(result)


def _weights(geometry: ScanGeometry, axis: int, cells: int) -> npt.NDArray[np.float32]:
    """Matrix ``(pixels of the scan, cells)``; rows sum to one, and are NaN where nothing was seen."""
    placement = geometry.placement
    box, kept, place = (part[axis] for part in (placement.box, placement.kept, placement.place))
    pixels = geometry.spatial[-len(geometry.size) :][axis]
    # Edges of the grid are 0 and its size: where the scan's pixel centres lie between them.
    inner = (np.arange(pixels) + 0.5 - box.start) / (box.stop - box.start) * placement.shape[axis]
    centres = inner - kept.start + place.start
    seen = (centres > place.start) & (centres < place.stop)
    at = np.clip(centres * cells / geometry.size[axis] - 0.5, 0, cells - 1)
    weights = linear_weights(at, cells)
    weights[~seen] = np.nan
    return weights


def _slices_seen(number: int, depth: slice) -> slice | None:
    """The slices that :func:`scanlens.preprocess.slices.neighbours` takes; None where it is not asked."""
    if number == 1:
        return None
    centre = depth.start + middle(depth.stop - depth.start)
    return slice(max(centre - number // 2, depth.start), min(centre + number // 2 + 1, depth.stop))
