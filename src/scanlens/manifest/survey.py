"""A survey of a folder: every file read once under limits, no label needed, and what came of each."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from pydicom.uid import UID
from tqdm import tqdm

from scanlens.atomic import replacing
from scanlens.config.schema import Checks
from scanlens.errors import ScanlensError, SettingsError, UnreadableScan
from scanlens.manifest.checks import problem
from scanlens.scaling.engine import Engine, Failed, Limits, map_ordered
from scanlens.sources.content import opened
from scanlens.sources.listing.tree import list_tree
from scanlens.sources.locate import os_reason
from scanlens.sources.read import read_scan
from scanlens.sources.readers.archive import left_behind
from scanlens.sources.readers.itk import is_itk
from scanlens.sources.readers.nifti import is_nifti
from scanlens.types import Scan

CHECKS = Checks(8, 1 << 28, 10.0, 0.98, 0.005, None, 60.0, 768)
"""What the manifest stage asks of a scan unless ``conf/manifest`` says otherwise. With the 100 to 200 MiB of
an idle reader, no reader comes to 1 GiB."""
_ACCEPTED, _QUARANTINED = "accepted", "quarantined"
_HEAD_BYTES = 4096
_A_VOLUME = "set data.dims=3"
_EXAMPLES = 2
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]\d+)?(?![\w.])")  # and no UID


@dataclass(frozen=True)
class Surveyed:
    """One scan of the survey.

    Attributes:
        path: Reference relative to the surveyed folder.
        file_class: Its kind of file, or ``refused: `` and the kind of reason.
        status: ``accepted`` or ``quarantined``.
        reason: Why quarantined; one line without patient data.
        peak_mib: The most memory its reader's process has held so far, in MiB; 0 where unknown.
    """

    path: str
    file_class: str
    status: str
    reason: str
    peak_mib: int


@dataclass(frozen=True)
class Survey:
    """What a survey found.

    Attributes:
        scans: One entry a scan, in the order of the paths.
        passed_over: Files that are no scans by their name: hidden ones, DICOMDIR, and what systems leave
            behind.
    """

    scans: list[Surveyed]
    passed_over: int


@dataclass(frozen=True)
class _Reader:
    """Reads one reference below a root; picklable, as workers need it."""

    root: Path
    dims: int | None
    checks: Checks

    def __call__(self, path: str) -> Surveyed:
        try:
            scan, dims = self._read(path)
            with opened(self.root, path) as content, content.files[0].open("rb") as file:
                kind = file_class(file.read(_HEAD_BYTES), scan)
        except UnreadableScan as error:
            return _refused(path, error.reason, _peak_mib())
        except OSError as error:  # gone or changed since it was read
            return _refused(path, os_reason(error), _peak_mib())
        reason = problem(scan, dims, self.checks) or ""
        return Surveyed(path, kind, _QUARANTINED if reason else _ACCEPTED, reason, _peak_mib())

    def _read(self, path: str) -> tuple[Scan, int]:
        most = self.checks.max_pixels
        if self.dims is not None:
            return read_scan(self.root, path, dims=self.dims, max_pixels=most), self.dims
        try:
            return read_scan(self.root, path, dims=2, max_pixels=most), 2
        except UnreadableScan as error:
            if not error.reason.endswith(_A_VOLUME):
                raise
        return read_scan(self.root, path, dims=3, max_pixels=most), 3


def survey(path: Path, *, dims: int | None, checks: Checks, engine: Engine, progress: bool = False) -> Survey:
    """Read every file below a folder (or one file).

    Args:
        path: Folder or file.
        dims: 2, 3, or None: each file as what it is. With 3 the slices of a series are one scan.
        checks: What a scan must be, and what reading it may cost.
        engine: Where the files are read.
        progress: Whether to show a bar on the error stream.

    Raises:
        SettingsError: There is no such folder or file.
    """
    if not path.exists():
        raise SettingsError(f"{path} does not exist.", "Name a folder of scans, or one scan.")
    listed = list_tree(path, dims=3 if dims == 3 else 2, progress="listing" if progress else None)
    problems: dict[str, str] = dict(zip(listed["path"].tolist(), listed["problem"].tolist(), strict=True))
    wanted = [reference for reference, reason in problems.items() if not reason]
    limits = Limits(checks.timeout_s, checks.max_memory_mib)
    read = map_ordered(_Reader(path, dims, checks), wanted, engine=engine, limits=limits, total=len(wanted))
    scans = []
    for reference, reason in tqdm(problems.items(), desc="reading", unit="scan", disable=not progress):
        result = Failed(reason) if reason else next(read)
        scans.append(_refused(reference, result.reason, 0) if isinstance(result, Failed) else result)
    return Survey(scans, _passed_over(path))


def as_table(found: Survey) -> str:
    """Lay a survey out for a person: one line per file class, and a last line of totals.

    Example:
        >>> good = Surveyed("a.png", "PNG, grey, 8 bit", "accepted", "", 90)
        >>> bad = Surveyed("b.png", "PNG, grey, 8 bit", "quarantined", "blank: every pixel is 0", 95)
        >>> print(as_table(Survey([good, bad], passed_over=0)))
        file class        accepted  quarantined  reasons
        PNG, grey, 8 bit         1            1  1 blank: every pixel is 0: b.png
        2 files, 1 accepted, 1 quarantined, peak memory of a reader 95 MiB
    """
    classes = sorted(
        {scan.file_class for scan in found.scans}, key=lambda name: (name.startswith("refused"), name)
    )
    lines = [("file class", _ACCEPTED, _QUARANTINED, "reasons")]
    for name in classes:
        members = [scan for scan in found.scans if scan.file_class == name]
        bad = [scan for scan in members if scan.status == _QUARANTINED]
        lines.append((name, str(len(members) - len(bad)), str(len(bad)), _reasons(bad)))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    rows = [
        f"{kind:<{widths[0]}}  {good:>{widths[1]}}  {bad:>{widths[2]}}  {reasons}".rstrip()
        for kind, good, bad, reasons in lines
    ]
    return "\n".join([*rows, _total(found)])


def write_survey(found: Survey, path: Path) -> None:
    """Write one row per scan as CSV, whole or not at all.

    Raises:
        ScanlensError: It cannot be written: no permission, or the disk is full.
    """
    try:
        with replacing(path) as temporary:
            pd.DataFrame(
                [asdict(scan) for scan in found.scans], columns=list(Surveyed.__dataclass_fields__)
            ).to_csv(temporary, index=False)
    except OSError as error:
        raise ScanlensError(
            f"the report {path} cannot be written: {os.strerror(error.errno or 0).lower()}.",
            "Free some space, or name another file.",
        ) from error


def _refused(path: str, reason: str, peak_mib: int) -> Surveyed:
    return Surveyed(path, f"refused: {_NUMBER.sub('N', reason)}", _QUARANTINED, reason, peak_mib)


def _reasons(bad: Sequence[Surveyed]) -> str:
    """Each kind of reason with its count and examples, by file name only."""
    kinds = Counter(_NUMBER.sub("N", scan.reason) for scan in bad)
    parts = []
    for kind, count in kinds.most_common():
        examples = [scan for scan in bad if _NUMBER.sub("N", scan.reason) == kind][:_EXAMPLES]
        names = ", ".join(_printable(scan.path) for scan in examples) + (", …" if count > _EXAMPLES else "")
        shown = "" if examples[0].file_class.startswith("refused") else f"{count} {examples[0].reason}: "
        parts.append(f"{shown}{names}")
    return "; ".join(parts)


def _printable(path: str) -> str:
    """A path without line breaks and terminal commands, which file names may hold."""
    return "".join(character if character.isprintable() else "?" for character in path)


def _total(found: Survey) -> str:
    accepted = sum(scan.status == _ACCEPTED for scan in found.scans)
    peak = max((scan.peak_mib for scan in found.scans), default=0)
    over = (
        f", {found.passed_over} passed over (hidden, DICOMDIR, left by systems)" if found.passed_over else ""
    )
    return (
        f"{len(found.scans)} files, {accepted} accepted, {len(found.scans) - accepted} quarantined{over}, "
        f"peak memory of a reader {peak} MiB"
    )


def _passed_over(path: Path) -> int:
    """Count the files that :func:`scanlens.sources.listing.tree.list_tree` leaves out by their name."""
    return sum(
        any(part.startswith(".") or left_behind(part) for part in file.relative_to(path).parts)
        or file.name.upper() == "DICOMDIR"
        for file in _files(path)
    )


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _peak_mib() -> int:
    """The most memory this process has held, in MiB; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> 20 if sys.platform == "darwin" else peak >> 10  # bytes there, KiB elsewhere


# What kind of file a scan came in, in the words a report groups by.
_MAGIC = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II": "TIFF",
    b"MM": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"NRRD": "NRRD",
    b"PK": "NumPy archive",
}
_GZIP = b"\x1f\x8b"
_SYNTAX = "TransferSyntaxUID"
_LONGWINDED = re.compile(r",? (Non-Hierarchical.*|Image Compression)")
_MODES = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with alpha",
    "P": "palette",
    "RGBA": "RGB with alpha",
    "I": "grey",
    "F": "grey",
    "I;16": "grey",
    "I;16B": "grey",
}
"""Pillow's names of colour models."""


def file_class(head: bytes, scan: Scan) -> str:
    """Return the format, coding, photometric interpretation and bits of a scan that could be read.

    Args:
        head: The first bytes of its file.
        scan: What was read from it.

    Returns:
        For example ``DICOM, JPEG 2000, MONOCHROME2, 16 bit``.

    Example:
        >>> import numpy as np
        >>> image, volume = np.zeros((1, 8, 8), np.float32), np.zeros((1, 4, 8, 8), np.float32)
        >>> file_class(b"BM", Scan(image, photometric="L")), file_class(b"NRRD", Scan(volume, bits=16))
        ('BMP, grey, 8 bit', 'NRRD, 16 bit, volume')
    """
    if _SYNTAX in scan.header:
        form = ["DICOM", _LONGWINDED.sub("", UID(scan.header[_SYNTAX]).name)]
    elif is_nifti(head) or head.startswith(_GZIP):
        form = ["NIfTI"]
    elif head.startswith(b"NRRD") or not is_itk(head):
        form = [next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "DICOM")]
    else:
        form = ["MetaImage"]
    volume = ["volume"] if scan.pixels.ndim == 4 else []
    return ", ".join(
        [*form, *filter(None, [_MODES.get(scan.photometric, scan.photometric)]), f"{scan.bits} bit", *volume]
    )
