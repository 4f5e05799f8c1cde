"""One scan read and described: what a worker of the manifest stage does.

What leaves this module may be written down; the header, which names people, does not leave it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scanlens.config.schema import Checks
from scanlens.errors import UnreadableScan
from scanlens.manifest.checks import problem
from scanlens.manifest.columns import OK
from scanlens.manifest.fingerprint import perceptual_hash, pixel_sha256
from scanlens.manifest.near_copies.thumbnails import thumbnail
from scanlens.privacy.aliases import resolve_alias
from scanlens.privacy.burned_in import has_text
from scanlens.privacy.deidentify import acquisition_date, header_tags
from scanlens.privacy.identity import names_in_path, placeholder
from scanlens.privacy.pseudonym import pseudonym
from scanlens.reference import parse_reference
from scanlens.sources.read import read_with_sum
from scanlens.types import Scan

_BURNED_IN_BY_TAG = {True: "declared", False: "no"}


@dataclass(frozen=True)
class Examined:
    """What is known of one row of the listing.

    Attributes:
        facts: The manifest's columns of :data:`scanlens.manifest.columns.COLUMNS` but the split, the fold,
            and the number that tells repetitions of one content apart.
        thumbnail: uint8, ``(64, 64)``; None where the scan could not be read.
        tags: Keyed hashes of header values by tag name, for the shortcut report.
        date: Acquisition date, in sortable text; for the temporal split, and never written down.
        header_patient: Whether ``facts["patient"]`` is whom the file names, rather than from the listing or
            one unknown patient for all scans of a study.
        named_in_path: The path holds the patient's own name or number.
        doubts: :attr:`scanlens.types.Scan.doubts`.
    """

    facts: dict[str, Any]
    thumbnail: npt.NDArray[np.uint8] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    date: str = field(default="", repr=False)
    header_patient: bool = False
    named_in_path: bool = False
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examiner:
    """Examine rows of one data set; picklable, as workers need it.

    Attributes:
        root: The data root.
        kind: Kind of data set.
        dims: 2 or 3.
        checks: What a scan must be.
        burned_in: ``flag`` or ``quarantine`` scans with text in their pixels.
        header_patients: Whether a patient the listing does not name is taken from the file.
        key: The pseudonym key.
    """

    root: Path
    kind: str
    dims: int
    checks: Checks
    burned_in: str
    header_patients: bool
    key: bytes = field(repr=False)

    def unread(self, row: Mapping[str, str], reason: str) -> Examined:
        """Describe a row whose scan was not read, for this reason."""
        return Examined(self._facts(row, reason))

    def __call__(self, row: Mapping[str, str]) -> Examined:
        """Read the scan of one row of the listing and describe it.

        Args:
            row: path, label, patient, site, mask and problem (not empty: the file is not touched).
        """
        if row["problem"]:
            return self.unread(row, row["problem"])
        facts = self._facts(row, OK)
        path = row["path"]
        try:
            scan, facts["sha256"] = read_with_sum(
                self.root, path, dims=self.dims, max_pixels=self.checks.max_pixels
            )
        except UnreadableScan as error:
            facts["status"] = error.reason
            return Examined(facts)
        facts.update(self._described(scan))
        examined = Examined(facts, thumbnail(scan.pixels), doubts=scan.doubts)
        try:
            return self._identified(examined, scan)
        except MemoryError:
            facts["status"] = "needs more memory than there is"
        # A header may hold anything, and libraries parse its dates, names and texts: whatever one of them
        # raises is this scan's affair alone. The message may quote the header; only its type goes on.
        except Exception as error:
            facts["status"] = f"its header is damaged ({type(error).__name__})"
        return examined

    def _identified(self, examined: Examined, scan: Scan) -> Examined:
        """Add what the header says of patient and acquisition."""
        path, patient = examined.facts["path"], examined.facts["patient"]
        own = ""
        if not patient:
            if self.header_patients and not placeholder(scan.patient):
                own = pseudonym(scan.patient, self.key)
            patient = own or self._unknown_patient(scan, path)
        return replace(
            examined,
            facts={**examined.facts, "patient": patient},
            tags=header_tags(scan.header, self.key),
            date=acquisition_date(scan.header),
            header_patient=bool(own),
            named_in_path=names_in_path(scan.header, path),
        )

    def _unknown_patient(self, scan: Scan, path: str) -> str:
        """Return one name for all scans that must be of one patient, whoever that is; empty for a lone scan.

        Scans of one DICOM study are of one patient, and so are the frames of one file.
        """
        study = scan.header.get("StudyInstanceUID", "")
        if not placeholder(study):
            return pseudonym(f"study {study}", self.key)
        parts = parse_reference(resolve_alias(path))
        return "" if parts.frame is None else pseudonym(f"file {replace(parts, frame=None)}", self.key)

    def _facts(self, row: Mapping[str, str], status: str) -> dict[str, Any]:
        return {
            "scan_id": f"x{hashlib.sha256(row['path'].encode()).hexdigest()[:15]}",
            "patient": row["patient"],
            "label": row["label"],
            "split": "",
            "fold": -1,
            "group": "",
            "source": self.kind,
            "path": row["path"],
            "sha256": "",
            "pixel_sha256": "",
            "perceptual_hash": "",
            "shape": [],
            "channels": 0,
            "spacing": [],
            "orientation": "",
            "modality": "",
            "photometric": "",
            "bits": 0,
            "site": row["site"],
            "burned_in": "",
            "mask": row["mask"],
            "status": status,
        }

    def _described(self, scan: Scan) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "shape": [int(side) for side in scan.pixels.shape[1:]],
            "channels": len(scan.pixels),
            "spacing": [float(step) for step in scan.spacing or ()],
            "orientation": scan.orientation,
            "modality": scan.modality,
            "photometric": scan.photometric,
            "bits": int(scan.bits),
            "status": problem(scan, self.dims, self.checks) or OK,
        }
        if facts["status"] != OK:
            return facts
        facts["pixel_sha256"] = pixel_sha256(scan.pixels)
        facts["perceptual_hash"] = perceptual_hash(scan.pixels)
        declared = "" if scan.burned_in is None else _BURNED_IN_BY_TAG[scan.burned_in]
        # A header that says NO is not believed: devices fill it in without looking.
        facts["burned_in"] = "declared" if declared == "declared" else _seen(scan)
        if self.burned_in == "quarantine" and facts["burned_in"] != "no":
            facts["status"] = f"burned-in text: {facts['burned_in']}"
        return facts


def _seen(scan: Scan) -> str:
    return "detected" if has_text(scan.pixels) else "no"
