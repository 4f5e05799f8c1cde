"""Class folders: ``<root>/<label>/.../<scan>``; the first level below the root is the label.

Every file below a class folder is listed, whatever its name: what is no image is quarantined with a
reason later. Files and folders whose name begins with a dot are no scans. A file ``<scan>_mask.<ending>``
beside ``<scan>.<ending>`` is that scan's mask, as in the BUSI ultrasound set, and not a scan of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.columns import empty_listing
from scanlens.sources.labels import refuse_unknown_label
from scanlens.sources.locate import os_reason, printable, problem_of

_MASK = re.compile(r"(?P<scan>.+)_mask(?P<further>_\d+)?")


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
    rows: list[tuple[str, str, str]] = []  # path, problem, label
    for folder in classes:
        refuse_unknown_label(folder.name, data.labels, f"Folder {folder}")
        found = [
            (*printable(path.relative_to(root).as_posix(), problem), folder.name)
            for path, problem in _walk(folder, set())
        ]
        if not found:
            raise SettingsError(
                f"The class folder {folder} is empty.", "Add scans of this class, or remove the folder."
            )
        rows += found
    listing = empty_listing(len(rows))
    listing["path"] = [path for path, _, _ in rows]
    listing["label"] = [label for _, _, label in rows]
    listing["problem"] = [
        problem or problem_of(root, path) for path, problem, _ in tqdm(rows, desc="acquire", unit="scan")
    ]
    return _pair_masks(listing)


def _walk(folder: Path, seen: set[Path]) -> Iterator[tuple[Path, str]]:
    """Yield every file below a folder, and each folder that cannot be entered with the reason.

    Links to folders are followed once, so a loop of links ends.
    """
    try:
        real = folder.resolve(strict=True)
        if real in seen:
            yield folder, "a link to a folder that is listed already"
            return
        seen.add(real)
        entries = sorted(folder.iterdir())
    except (OSError, RuntimeError) as error:
        yield folder, os_reason(error) if isinstance(error, OSError) else "a loop of symbolic links"
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry, ""


def _pair_masks(listing: pd.DataFrame) -> pd.DataFrame:
    rows = {path: number for number, path in enumerate(listing["path"])}
    masks = [""] * len(rows)
    taken = []
    for path, number in rows.items():
        name = Path(path)
        match = _MASK.fullmatch(name.stem)
        scan = match and rows.get((name.parent / (match["scan"] + name.suffix)).as_posix())
        if not match or scan is None:
            continue
        taken.append(number)
        if not match["further"]:
            masks[scan] = path
    listing["mask"] = masks
    return listing.drop(index=taken).reset_index(drop=True)
