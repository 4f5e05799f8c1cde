"""Class folders: ``<root>/<label>/.../<scan>``; the first level below the root is the label.

Every file below a class folder is listed, whatever its name: what is no image is quarantined with a
reason later (:mod:`scanlens.sources.listing.tree`). Files ``<scan>_mask.<ending>``,
``<scan>_mask_1.<ending>``... beside ``<scan>.<ending>`` are that scan's masks, as in the BUSI
ultrasound set, and not scans of their own.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import MASKS, empty_listing
from scanlens.sources.listing.labels import refuse_unknown_label
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.locate import os_reason, printable
from scanlens.sources.readers.series_index import folder_series

_ACROSS = "a series that does not lie in one class folder"
_MASK = re.compile(r"(?P<scan>.+)_mask(?:_(?P<further>\d{1,9}))?")


def list_folder(data: Data, root: Path) -> pd.DataFrame:
    """List the files of every class folder.

    Raises:
        SettingsError: The root is no folder or has no class folder, or a class folder is empty or not
            among ``data.labels``.
    """
    if not root.is_dir():
        raise SettingsError(
            f"The data root {root} is a file, not a folder of class folders.", "Set data.root."
        )
    try:
        classes = sorted(
            entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError as error:
        raise SettingsError(
            f"The data root {root}: {os_reason(error)}.", "Set data.root to a readable folder."
        ) from error
    if not classes:
        raise SettingsError(
            f"The data root {root} holds no class folders.",
            "Put each class's scans into a folder with the class's name, or use data=table.",
        )
    for folder in classes:
        refuse_unknown_label(folder.name, data.labels, f"Folder {folder}")
    # The whole root at once: a series that lies in two class folders is no scan of either.
    every = list_tree(root, dims=data.dims, progress="acquire")
    beside = {f".#series/{number}" for number in folder_series(root, ".")} if data.dims == 3 else set()
    across = every["path"].str.startswith(".#series/") & ~every["path"].isin(beside)
    parts = [every[across].assign(label="", problem=_ACROSS)]
    for folder in classes:
        name = printable(folder.name)[0]
        found = every[every["path"].str.startswith((f"{name}/", f"{name}#series/")) | (every["path"] == name)]
        if found.empty and not across.any():
            raise SettingsError(
                f"The class folder {folder} is empty.", "Add scans of this class, or remove the folder."
            )
        parts.append(found.assign(label=name))
    found = pd.concat(parts, ignore_index=True)
    listing = empty_listing(len(found))
    listing[found.columns] = found
    return _pair_masks(listing)


def _pair_masks(listing: pd.DataFrame) -> pd.DataFrame:
    rows = {path: number for number, path in enumerate(listing["path"])}
    masks: dict[int, list[tuple[int, str]]] = {}
    taken = []
    for path, number in rows.items():
        name = PurePosixPath(path)
        match = _MASK.fullmatch(name.stem)
        scan = match and rows.get((name.parent / (match["scan"] + name.suffix)).as_posix())
        if not match or scan is None:
            continue
        taken.append(number)
        masks.setdefault(scan, []).append((int(match["further"] or 0), path))
    listing["mask"] = [MASKS.join(path for _, path in sorted(masks.get(row, []))) for row in range(len(rows))]
    return listing.drop(index=taken).reset_index(drop=True)
