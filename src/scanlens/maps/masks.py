"""Lesion masks, where the data has them, brought into the store's geometry."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from scanlens.errors import UnreadableScan
from scanlens.preprocess.geometry import Box
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.preprocess.store import Store
from scanlens.sources.listing.columns import MASKS
from scanlens.sources.read import read_scan

MAX_PIXELS = 2**28


def mask_reader(store: Store, folder: Path, root: Path) -> Callable[[str], npt.NDArray[np.bool_] | None]:
    """A function from a scan's id to its lesion mask, or None where it has none.

    Args:
        store: The preprocessed scans; its index names mask files relative to ``root``.
        folder: The store's folder, for ``preprocessor.json``.
        root: The data root.

    Returns:
        The function; it raises UnreadableScan where a mask has another shape than its scan.
    """
    preprocessor = Preprocessor.from_json(
        json.loads((folder / "preprocessor.json").read_text(encoding="utf-8"))
    )
    columns = store.index.set_index("scan_id")[["mask", "shape", "spacing", "path", "modality"]]

    def read(scan_id: str) -> npt.NDArray[np.bool_] | None:
        row = columns.loc[scan_id].to_dict()
        path, spacing = str(row["mask"]), row["spacing"]
        if not path:
            return None
        try:
            masks = [_mask(root, one, preprocessor.dims) for one in path.split(MASKS)]
            box = _box(preprocessor, root, str(row["path"]), str(row["modality"]))
        except UnreadableScan as error:
            tqdm.write(f"warning: scored without its mask: {error}", file=sys.stderr)
            return None
        spatial = tuple(int(side) for side in row["shape"])
        for mask in masks:
            if mask.shape != spatial:
                raise UnreadableScan(path, f"mask of shape {mask.shape} for a scan of shape {spatial}")
        # Several masks mark several lesions of one scan.
        mask = np.logical_or.reduce(masks)
        return preprocessor.apply_mask(mask, spatial, tuple(spacing) or None, box)

    return read


def _mask(root: Path, path: str, dims: int) -> npt.NDArray[np.bool_]:
    return read_scan(root, path, dims=dims, max_pixels=MAX_PIXELS, mask=True).pixels.max(0) > 0


def _box(preprocessor: Preprocessor, root: Path, path: str, modality: str) -> Box | None:
    """The part of a scan that the store holds, found again in the scan itself; None for all of it."""
    if preprocessor.crop_of(modality) == "none":
        return None
    return preprocessor.locate(read_scan(root, path, dims=preprocessor.dims, max_pixels=MAX_PIXELS), path)
