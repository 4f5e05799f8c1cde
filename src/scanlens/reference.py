"""What the ``path`` of a listing may be: a file, a folder of one series, or a part of either.

Always relative to the data root, with ``/`` between folders::

    a/b.dcm                             a file
    a/b.dcm#frame/3                     one frame of a multi-frame DICOM file, counted from 0
    a/folder                            a folder that holds one DICOM series
    a/folder#series/0123456789ab        one of its series, by the keyed hash of its SeriesInstanceUID
    a/x.zip                             the one series, or the one file, in an archive
    a/x.zip#series/0123456789ab         one of an archive's series
    a/x.zip#member/inner/path.dcm       a file in an archive (``#frame/3`` may follow)
    a/x.npz#train/12                    a row of a MedMNIST file
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

_FRAME = re.compile(r"(?P<rest>.+)#frame/(?P<frame>\d{1,9})", re.DOTALL)
_SERIES = re.compile(r"(?P<path>.+)#series/(?P<series>[0-9a-f]{12})", re.DOTALL)
_MEMBER = re.compile(r"(?P<path>.+?)#member/(?P<member>.+)", re.DOTALL)
_ROW = re.compile(r"(?P<path>.+\.npz)#(?P<split>train|val|test)/(?P<row>\d{1,12})", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """One reference, taken apart; ``str()`` puts it together again.

    Attributes:
        path: The file or folder, relative to the data root (``.`` is the root itself).
        member: Path inside the archive ``path``, or empty.
        series: Twelve hexadecimal digits of the series in the folder or archive, or empty.
        frame: Number of the frame from 0, or None.
        split: Split of a MedMNIST row, or empty.
        row: Number of that row, or None.
    """

    path: str
    member: str = ""
    series: str = ""
    frame: int | None = None
    split: str = ""
    row: int | None = None

    def __str__(self) -> str:
        text = self.path
        if self.member:
            text += f"#member/{self.member}"
        if self.series:
            text += f"#series/{self.series}"
        if self.row is not None:
            text += f"#{self.split}/{self.row}"
        if self.frame is not None:
            text += f"#frame/{self.frame}"
        return text

    @property
    def is_part(self) -> bool:
        """Whether it names something inside a file or folder rather than the whole."""
        return replace(self, path="") != Reference("")


def parse_reference(text: str) -> Reference:
    """Take a reference apart; what names no part is a path."""
    frame = None
    if match := _FRAME.fullmatch(text):
        text, frame = match["rest"], int(match["frame"])
    if match := _ROW.fullmatch(text):
        return Reference(match["path"], frame=frame, split=match["split"].lower(), row=int(match["row"]))
    # Before the series: a member's own name may end like one.
    if match := _MEMBER.fullmatch(text):
        return Reference(match["path"], member=match["member"], frame=frame)
    if match := _SERIES.fullmatch(text):
        return Reference(match["path"], series=match["series"], frame=frame)
    return Reference(text, frame=frame)


def relative_reference(base: PurePosixPath, text: str) -> str:
    """Write a reference in one way: relative to the root where it lies below it, else as it was given.

    Names in an archive get ``/`` between folders, whoever packed it.
    """
    if not text:
        return ""
    reference = parse_reference(text)
    pure = PurePosixPath(reference.path)
    if pure.is_absolute() and pure.is_relative_to(base):
        pure = pure.relative_to(base)
    member = reference.member.replace("\\", "/")
    return str(replace(reference, path=pure.as_posix(), member=member))
