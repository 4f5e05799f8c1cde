"""Listing a MedMNIST ``.npz`` file: arrays ``train_images`` ... ``test_labels`` with the official split.

A row is named ``file.npz#split/number`` (:mod:`scanlens.reference`).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.sources.listing.columns import empty_listing
from scanlens.sources.readers.medmnist import COLOUR_CHANNELS, UNUSABLE, mapped_array
from scanlens.types import SPLITS


def list_npz(data: Data, root: Path) -> pd.DataFrame:
    """List every row of a MedMNIST file with its official split.

    Classes are called ``"0"``, ``"1"``... unless ``data.labels`` gives their names in order.

    Raises:
        SettingsError: The file is no such archive, a split's arrays disagree, or a class has no name.
    """
    path = npz_file(data, root)
    parts = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = set(archive.namelist())
        for split in SPLITS:
            if f"{split}_images.npy" not in members:
                continue
            parts.append(_list_split(data, path, split))
    except UNUSABLE as error:
        raise SettingsError(
            f"{path} is not a MedMNIST file ({type(error).__name__}).",
            "It must be an .npz with train_images, train_labels, val_images ... test_labels.",
        ) from error
    if not parts:
        raise SettingsError(
            f"{path} holds no train_images, val_images or test_images; only: {', '.join(sorted(members))}.",
            "Set data.root to a MedMNIST .npz file.",
        )
    return pd.concat(parts, ignore_index=True)


def _list_split(data: Data, path: Path, split: str) -> pd.DataFrame:
    images = mapped_array(path, f"{split}_images")
    labels = mapped_array(path, f"{split}_labels")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise SettingsError(
            f"{path}: {split}_labels gives {labels.shape[1]} labels a scan; one class a scan is expected.",
            "Choose a binary or multiclass MedMNIST file.",
        )
    classes = labels.reshape(-1)
    if len(classes) != len(images) or classes.dtype.kind not in "iub":
        raise SettingsError(
            f"{path}: {len(classes)} {classes.dtype} {split}_labels do not fit {len(images)} {split}_images.",
            "Fetch the file again.",
        )
    if images.ndim - 1 not in (data.dims, data.dims + 1) or (
        images.ndim - 1 == data.dims + 1 and images.shape[-1] != COLOUR_CHANNELS
    ):
        raise SettingsError(
            f"{path}: {split}_images has shape {images.shape}, which is not {data.dims}-dimensional.",
            f"Set data.dims={5 - data.dims}.",
        )
    listing = empty_listing(len(images))
    listing["path"] = [f"{path.name}#{split}/{row}" for row in range(len(images))]
    listing["label"] = [_class_name(data, path, split, row, int(value)) for row, value in enumerate(classes)]
    listing["split"] = split
    return listing


def _class_name(data: Data, path: Path, split: str, row: int, value: int) -> str:
    if data.labels is None:
        return str(value)
    if not 0 <= value < len(data.labels):
        raise SettingsError(
            f"{path.name} row {split}/{row}: class {value} has no name; data.labels has {len(data.labels)}: "
            f"{', '.join(data.labels)}.",
            "Name every class in data.labels, in order, or set it to null.",
        )
    return data.labels[value]


def npz_file(data: Data, root: Path) -> Path:
    """Return the ``.npz`` file the settings mean: the root, ``data.table`` in it, or the only one there.

    Raises:
        SettingsError: There is none, or there are several.
    """
    if root.is_file():
        return root
    found = sorted(path.name for path in root.glob("*.npz"))
    if data.table and (root / data.table).is_file():
        return root / data.table
    if data.table is None and len(found) == 1:
        return root / found[0]
    raise SettingsError(
        f"{root} is a folder with {len(found)} .npz files: {', '.join(found) or 'none'}.",
        "Set data.root to the MedMNIST .npz file itself.",
    )
