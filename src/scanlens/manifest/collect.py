"""Gather what workers say of single scans into one table, in memory that hardly grows with the scans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.errors import SettingsError
from scanlens.manifest.columns import COLUMNS, OK
from scanlens.manifest.examine import Examined

_CHUNK = 2000
"""Rows kept as dictionaries before they are packed into a table."""
TAGGED = 5000
"""Scans whose header tags are kept, drawn at random: enough to see whether a tag gives the label away."""


@dataclass
class Notes:
    """What is known beside the manifest; in memory only.

    Attributes:
        dates: ``(row,)`` sortable text, empty where unknown.
        tags: Header tags (keyed hashes by name) of at most :data:`TAGGED` rows.
        header_patients: Pseudonyms that headers, not the table, gave.
        other_patients: Read scans whose patient the table gave, or nobody.
        named_paths: Scans whose path holds the patient's own name or number.
        doubts: Accepted scans by what of their headers had to be guessed or contradicts itself.
    """

    dates: list[str] = field(default_factory=list, repr=False)
    tags: dict[int, Mapping[str, str]] = field(default_factory=dict)
    header_patients: Counter[str] = field(default_factory=Counter)
    other_patients: int = 0
    named_paths: int = 0
    doubts: Counter[str] = field(default_factory=Counter)

    def doubt_warnings(self) -> list[str]:
        """Tell of each doubt once a data set, with the number of scans."""
        return [f"{count} scans: {doubt}." for doubt, count in sorted(self.doubts.items())]

    def patient_warnings(self) -> list[str]:
        """Warn of names in paths; refuse one patient for all scans, which is a placeholder.

        Raises:
            SettingsError: There are several scans, and the headers of all name one patient.
        """
        if len(self.header_patients) == 1 and not self.other_patients and self.header_patients.total() > 1:
            raise SettingsError(
                f"the headers of all {self.header_patients.total()} scans name one and the same patient.",
                "If that is a placeholder, name the patients in a table or set data.columns.patient=null.",
            )
        if not self.named_paths:
            return []
        return [
            f"{self.named_paths} scans' paths hold the patient's own name or number: "
            "set acquire.paths=alias to keep paths out of every artefact."
        ]


def collect(
    examined: Iterable[Examined], rows: int, thumbnails: npt.NDArray[np.uint8]
) -> tuple[pd.DataFrame, Notes]:
    """Gather the rows of a manifest without splits.

    Args:
        examined: One a row of the listing, in order.
        rows: How many.
        thumbnails: ``(row, 64, 64)``, filled here.

    Returns:
        The columns of :data:`scanlens.manifest.columns.COLUMNS`, and the rest.
    """
    notes = Notes()
    tagged = set(np.random.default_rng(0).permutation(rows)[:TAGGED].tolist())
    ids: Counter[str] = Counter()
    chunk: list[dict[str, Any]] = []
    tables: list[pd.DataFrame] = []
    for number, one in enumerate(examined):
        facts = dict(one.facts)
        content = facts["sha256"][:16]
        if content:
            facts["scan_id"] = f"{content}-{ids[content]}" if ids[content] else content
            ids[content] += 1
        facts["patient"] = facts["patient"] or f"s{facts['scan_id']}"
        if one.thumbnail is not None:
            thumbnails[number] = one.thumbnail
        if number in tagged:
            notes.tags[number] = one.tags
        notes.dates.append(one.date)
        notes.named_paths += one.named_in_path
        notes.doubts.update(one.doubts if facts["status"] == OK else ())
        if one.header_patient:
            notes.header_patients[facts["patient"]] += 1
        elif facts["status"] == OK:
            notes.other_patients += 1
        chunk.append(facts)
        if len(chunk) == _CHUNK:
            tables.append(pd.DataFrame(chunk, columns=list(COLUMNS)))
            chunk = []
    tables.append(pd.DataFrame(chunk, columns=list(COLUMNS)))
    # An empty table has no types of its own and would spoil the others' in a concatenation.
    filled = [table for table in tables if len(table)] or tables
    return pd.concat(filled, ignore_index=True), notes


def metadata_table(manifest: pd.DataFrame, notes: Notes, metadata: pd.DataFrame | None) -> pd.DataFrame:
    """Put everything but the pixels that is known of accepted scans side by side, one column per item.

    Args:
        manifest: The manifest.
        notes: What came with it.
        metadata: Further columns of the label table, in the manifest's order.

    Returns:
        Accepted scans whose tags were kept, indexed like the manifest; text or numbers, "" or NaN where
        absent.
    """
    rows = [row for row in sorted(notes.tags) if manifest["status"].iat[row] == OK]
    known = manifest.iloc[rows]
    sizes = pd.DataFrame(
        {
            "aspect": [shape[-1] / shape[-2] if len(shape) > 1 else np.nan for shape in known["shape"]],
            "height": [shape[-2] if len(shape) > 1 else np.nan for shape in known["shape"]],
            "width": [shape[-1] if len(shape) else np.nan for shape in known["shape"]],
            "shape": ["x".join(map(str, shape)) for shape in known["shape"]],
            "spacing": ["x".join(f"{step:.3g}" for step in steps) for steps in known["spacing"]],
            "suffix": [PurePosixPath(path.partition("#")[0]).suffix.lower() for path in known["path"]],
        },
        index=known.index,
    )
    parts = [
        known[["site", "modality", "photometric", "bits", "channels", "orientation", "burned_in"]],
        sizes,
        pd.DataFrame([dict(notes.tags[row]) for row in rows], index=known.index)
        .fillna("")
        .add_prefix("tag "),
    ]
    if metadata is not None:
        parts.append(metadata.iloc[rows].set_index(known.index).add_prefix("column "))
    return pd.concat(parts, axis=1)
