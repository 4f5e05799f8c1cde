"""Class folders: ``<root>/<label>/.../<scan>``; the first level below the root is the label.

Where folders are called train, val and test (in the usual words), above the class folders or right below
each, they are the split that the data declares.

Every file below a class folder is listed, whatever its name: what is no image is quarantined with a
reason later (:mod:`scanlens.sources.listing.tree`). Files ``<scan>_mask.<ending>``,
``<scan>_mask_1.<ending>``... beside ``<scan>.<ending>`` (or the one file ``<scan>`` of another ending) are
that scan's masks, as in the BUSI ultrasound set, and not scans of their own.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import MASKS, SPLIT_WORDS, Tell, empty_listing
from scanlens.sources.listing.labels import one_spelling, refuse_unknown_label
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.locate import os_reason, printable
from scanlens.sources.readers.archive import left_behind
from scanlens.sources.readers.series_index import folder_series

_logger = logging.getLogger(__name__)
_ACROSS = "a series that does not lie in one class folder"
_ENDING = r"(?P<ending>(?:\.nii)?(?:\.[^./]*)?)"
_MASK = re.compile(rf"(?P<scan>.+)_mask(?:_(?P<further>\d{{1,9}}))?{_ENDING}", re.IGNORECASE)
_FILE = re.compile(rf"(?P<stem>.+?){_ENDING}", re.IGNORECASE)


@dataclass(frozen=True)
class _ClassFolder:
    path: Path
    split: str = ""
    """That the folder above declares."""


def list_folder(data: Data, root: Path, tell: Tell = _logger.warning) -> pd.DataFrame:
    """List the files of every class folder.

    Args:
        data: The data set; ``columns.split`` null deals the scans whatever folders are called.
        root: The data root.
        tell: Told which folders were taken for one class.

    Raises:
        SettingsError: The root is no folder or has no class folder; a class folder is empty or not among
            ``data.labels``; or only some folders are called as splits are.
    """
    if not root.is_dir():
        raise SettingsError(
            f"The data root {root} is a file, not a folder of class folders.", "Set data.root."
        )
    folders = _class_folders(data, root)
    # The whole root at once: a series that lies in two class folders is no scan of either.
    every = list_tree(root, dims=data.dims, progress="acquire")
    across = _across(every["path"], root, folders) if data.dims == 3 else pd.Series(False, every.index)
    parts = [every[across].assign(label="", split="", folder="", problem=_ACROSS)]
    for folder in folders:
        below = folder.path.relative_to(root).as_posix()
        name = printable(below)[0]
        found = every[every["path"].str.startswith((f"{name}/", f"{name}#series/")) | (every["path"] == name)]
        if found.empty and not across.any():
            raise SettingsError(
                f"The class folder {folder.path} is empty.",
                "Add scans of this class, or remove the folder.",
            )
        split = folder.split or _splits_below(found["path"], folder.path, data)
        parts.append(found.assign(label=printable(folder.path.name)[0], split=split, folder=below))
    found = pd.concat(parts, ignore_index=True)
    found["label"] = one_spelling(found["label"], data.labels, f"Folders of {root.name}", tell)
    labelled = found.loc[found["label"] != "", ["folder", "label"]]
    for folder_name, label in labelled.drop_duplicates().itertuples(index=False):
        refuse_unknown_label(label, data.labels, f"Folder {root / folder_name}")
    if data.columns.split is None:
        found["split"] = ""
    listing = empty_listing(len(found))
    names = ["path", "label", "split", "problem"]
    listing[names] = found[names]
    return _pair_masks(listing)


def _across(paths: pd.Series, root: Path, folders: list[_ClassFolder]) -> pd.Series:
    """Which references are series formed above the class folders, and so of several of them."""
    above = {folder.path.parent.relative_to(root).as_posix() for folder in folders}
    across = pd.Series(False, paths.index)
    for parent in above:
        # Those of slices right in that folder belong to no class either, and are passed over as files are.
        own = {f"{parent}#series/{number}" for number in folder_series(root, parent)}
        across |= paths.str.startswith(f"{parent}#series/") & ~paths.isin(own)
    return across


def _class_folders(data: Data, root: Path) -> list[_ClassFolder]:
    folders = _folders(root)
    if not folders:
        raise SettingsError(
            f"The data root {root} holds no class folders.",
            "Put each class's scans into a folder with the class's name, or use data=table.",
        )
    splits = [folder for folder in folders if _split(folder.name, data)]
    if not splits:
        return [_ClassFolder(folder) for folder in folders]
    if len(splits) < len(folders):
        others = [folder.name for folder in folders if folder not in splits]
        raise SettingsError(
            f"The data root {root} holds folders called as splits ({_named(splits)}) beside others "
            f"({', '.join(others)}): are they splits or classes?",
            "Put every class below every split (<root>/train/<class>), or name all classes in data.labels.",
        )
    found = []
    for above in splits:
        classes = _folders(above)
        if not classes:
            raise SettingsError(
                f"The folder {above} is called as a split and holds no class folders: no labels.",
                "Put them into class folders below it, or take it out of data.root.",
            )
        found += [_ClassFolder(folder, _split(above.name, data)) for folder in classes]
    return found


def _split(name: str, data: Data) -> str:
    """The split that a folder's name means; nothing where the settings call a class so."""
    return "" if data.labels and name in data.labels else SPLIT_WORDS.get(name.casefold(), "")


def _splits_below(paths: pd.Series, folder: Path, data: Data) -> list[str]:
    """The splits that the folders right below a class folder declare; none without both train and test.

    Raises:
        SettingsError: Some files of the class lie in none of them.
    """
    if data.columns.split is None:
        return [""] * len(paths)
    parts = [PurePosixPath(path).parts for path in paths]
    splits = [_split(names[1], data) if len(names) > 2 else "" for names in parts]
    if not {"train", "test"} <= set(splits):
        return [""] * len(paths)
    if not all(splits):
        raise SettingsError(
            f"{splits.count('')} of {len(splits)} files of the class folder {folder} lie in none of its "
            "folders that are called as splits.",
            "Move them into one, or set data.columns.split=null to have the scans dealt.",
        )
    return splits


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(
            entry
            for entry in parent.iterdir()
            if entry.is_dir() and not entry.name.startswith(".") and not left_behind(entry.name)
        )
    except OSError as error:
        raise SettingsError(
            f"The folder {parent}: {os_reason(error)}.", "Set data.root to a readable folder."
        ) from error


def _named(folders: list[Path]) -> str:
    return ", ".join(folder.name for folder in folders)


def _pair_masks(listing: pd.DataFrame) -> pd.DataFrame:
    rows = {path: number for number, path in enumerate(listing["path"])}
    by_stem: dict[str, list[int]] = {}
    for path, number in rows.items():
        if match := _FILE.fullmatch(path):
            by_stem.setdefault(match["stem"], []).append(number)
    masks: dict[int, list[tuple[int, str]]] = {}
    taken = []
    for path, number in rows.items():
        match = _MASK.fullmatch(path)
        if not match:
            continue
        others = by_stem.get(match["scan"], [])
        scan = rows.get(match["scan"] + match["ending"], others[0] if len(others) == 1 else None)
        if scan is None:
            continue
        taken.append(number)
        masks.setdefault(scan, []).append((int(match["further"] or 0), path))
    listing["mask"] = [MASKS.join(path for _, path in sorted(masks.get(row, []))) for row in range(len(rows))]
    return listing.drop(index=taken).reset_index(drop=True)
