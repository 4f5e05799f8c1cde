"""The manifest's columns: what each holds, how it is stored, and the check that a table keeps to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scanlens.atomic import replacing
from scanlens.errors import SettingsError

_Kind = Literal["text", "integer", "integers", "numbers"]

OK = "ok"
"""The status of an accepted scan; any other status is the reason for its quarantine."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: ``text`` (never null, empty = unknown), ``integer``, or a list of integers or of floats.
        meaning: What it holds, with units.
    """

    kind: _Kind
    meaning: str


COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "scan_id": Column(
            "text",
            "First 16 hex digits of sha256; a row that was not read gets x and 15 digits of its path's hash. "
            "A later row of the same content or path gets -1, -2….",
        ),
        "patient": Column("text", "Pseudonym; s and the scan_id where nothing names a patient."),
        "label": Column("text", "Class."),
        "split": Column("text", "train, val or test; empty in quarantine."),
        "fold": Column("integer", "Fold of cross-validation (manifest.split.folds), else -1."),
        "group": Column(
            "text",
            "First scan_id of those that must stay together: of one patient, of one content, near copies. "
            "Empty in quarantine.",
        ),
        "source": Column("text", "Kind of data set: phantom, folder, table or medmnist."),
        "path": Column("text", "Where the scan is, relative to the data root."),
        "sha256": Column("text", "Hash of the file's bytes (of the array's for a row of a MedMNIST file)."),
        "pixel_sha256": Column(
            "text", "Hash of shape and decoded pixels: equal for copies in other containers. Empty if unread."
        ),
        "perceptual_hash": Column(
            "text", "64-bit DCT hash as 16 hex digits; near copies differ in few bits."
        ),
        "shape": Column("integers", "Pixels along each spatial axis: [depth,] height, width."),
        "channels": Column("integer", "1 grey, 3 colour. A grey picture stored as RGB is grey. 0 if unread."),
        "spacing": Column("numbers", "Millimetres along each spatial axis; empty where unknown."),
        "orientation": Column("text", "Axis codes such as RAS; empty where unknown."),
        "modality": Column("text", "DICOM modality code, or OT."),
        "photometric": Column("text", "How the source stored it, e.g. MONOCHROME1, RGB, L."),
        "bits": Column("integer", "Significant bits of the stored sample; 0 if unread."),
        "intensity": Column(
            "numbers", "Lowest and highest value as stored, rescaled (CT: Hounsfield units). Empty if unread."
        ),
        "site": Column("text", "Where it was made."),
        "burned_in": Column(
            "text", "Text in the pixels: declared (by tag), detected (by look), no, or empty if unread."
        ),
        "mask": Column(
            "text", "Path of its ground-truth mask relative to the data root, several joined by |, or empty."
        ),
        "status": Column("text", "ok, or the reason for quarantine (the kind before the first colon)."),
    }
)

_ARROW: Mapping[_Kind, pa.DataType] = MappingProxyType(
    {
        "text": pa.string(),
        "integer": pa.int64(),
        "integers": pa.list_(pa.int64()),
        "numbers": pa.list_(pa.float64()),
    }
)


def check_columns(manifest: pd.DataFrame, where: str = "manifest") -> None:
    """Check that a table is a manifest.

    Args:
        manifest: The table.
        where: How to name it in the error.

    Raises:
        SettingsError: A column is missing, unknown, of another type or has missing values; or a
            scan_id appears twice.
    """
    remedy = "Run the manifest stage again."
    missing = [name for name in COLUMNS if name not in manifest.columns]
    unknown = [str(name) for name in manifest.columns if name not in COLUMNS]
    if missing or unknown:
        raise SettingsError(f"{where}: missing columns {missing}, unknown columns {unknown}.", remedy)
    for name in COLUMNS:
        if manifest[name].isna().any():
            raise SettingsError(f"{where}: column {name} has missing values.", remedy)
    try:
        _to_arrow(manifest)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError) as error:
        raise SettingsError(f"{where}: a column has values of another type: {error}.", remedy) from error
    repeated = manifest["scan_id"].duplicated()
    if repeated.any():
        raise SettingsError(
            f"{where}: scan_id {manifest['scan_id'][repeated].iloc[0]} is not unique.", remedy
        )


def write_table(manifest: pd.DataFrame, path: Path) -> None:
    """Write a manifest as Parquet: the same rows give the same bytes.

    Args:
        manifest: Columns as in :data:`COLUMNS`.
        path: The Parquet file.
    """
    check_columns(manifest, path.name)
    with replacing(path) as temporary:
        pq.write_table(_to_arrow(manifest), temporary, compression="zstd")


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest written by :func:`write_table`; list columns hold Python lists.

    Raises:
        SettingsError: The file is absent, unreadable or no manifest.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise SettingsError(f"{path}: no manifest here.", "Run the manifest stage first.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}.", "Run the manifest stage again.") from error
    manifest = pd.DataFrame(table.to_pydict())
    check_columns(manifest, str(path))
    return manifest


def _to_arrow(manifest: pd.DataFrame) -> pa.Table:
    arrays = [pa.array(manifest[name].tolist(), _ARROW[column.kind]) for name, column in COLUMNS.items()]
    return pa.table(arrays, names=list(COLUMNS))
