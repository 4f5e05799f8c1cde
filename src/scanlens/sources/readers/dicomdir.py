"""A DICOMDIR file (PS3.10, annex 8.6): which files a medium should hold. It is a list and no scan itself.

The records are read one after the other. pydicom's ``FileSet`` would follow their offsets, which a damaged
file can bend into a circle, and silently drops the files that are missing: exactly those are wanted here.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.uid import MediaStorageDirectoryStorage

from scanlens.errors import UnreadableScan
from scanlens.sources.readers.dicom_file import stop_behind_pixels
from scanlens.sources.readers.quiet import quiet

NAME = "DICOMDIR"
_MAX_BYTES = 1 << 24  # records take about 500 bytes a file
_PADDING = bytes(1 << 6)  # what the last values may end with
_ZEROS = bytes(1 << 12)  # more in a row than any value here holds
_ITEM = b"\xfe\xff\x00\xe0"
_RECORD_BYTES = 48  # the least a directory record takes: offsets, flag and type


def is_dicomdir(path: Path) -> bool:
    """Tell by the name, which the standard fixes, whatever its case."""
    return path.name.upper() == NAME


def missing_files(path: Path, reference: str) -> list[str]:
    """Name the files a DICOMDIR lists that are not there.

    Media are read on systems that change the case of names or hide the version behind ``;``, so both are
    ignored.

    Returns:
        Paths relative to the DICOMDIR's folder, sorted.

    Raises:
        UnreadableScan: It is damaged, or no DICOMDIR.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UnreadableScan(reference, "far larger than any DICOMDIR")
        # pydicom takes eight zeros for an element or item, and needs minutes for megabytes of nothing.
        content = path.read_bytes().rstrip(b"\0") + _PADDING
        if _ZEROS in content or content.count(_ITEM) * _RECORD_BYTES > len(content):
            raise UnreadableScan(reference, "a damaged DICOMDIR (nothing but empty records)")
        with quiet():
            dataset = read_partial(io.BytesIO(content), stop_behind_pixels())
            listed = {_path(record) for record in dataset.DirectoryRecordSequence} - {""}
            declared = dataset.file_meta.MediaStorageSOPClassUID
    except UnreadableScan:
        raise
    except Exception as error:  # pydicom raises dozens of types, whose messages quote the file
        raise UnreadableScan(reference, f"a damaged DICOMDIR ({type(error).__name__})") from error
    if declared != MediaStorageDirectoryStorage:
        raise UnreadableScan(reference, "named DICOMDIR, but none")
    folders: dict[Path, dict[str, str]] = {}
    return sorted(name for name in listed if not _is_there(path.parent, name, folders))


def _path(record: Dataset) -> str:
    parts = record.get("ReferencedFileID")
    if not parts:
        return ""
    names = [str(part) for part in parts] if isinstance(parts, MultiValue) else [str(parts)]
    path = PurePosixPath(*names)
    # A medium names its own files; what leads elsewhere is none of them.
    return "" if path.is_absolute() or ".." in path.parts else path.as_posix()


def _is_there(base: Path, name: str, folders: dict[Path, dict[str, str]]) -> bool:
    """Look a name up, folder by folder; ``folders`` keeps what each holds, by its plain name."""
    folder = base
    for part in PurePosixPath(name).parts:
        if folder not in folders:
            entries = folder.iterdir() if folder.is_dir() else ()
            folders[folder] = {_plain(entry.name): entry.name for entry in entries}
        found = folders[folder].get(_plain(part))
        if found is None:
            return False
        folder = folder / found
    return True


def _plain(name: str) -> str:
    return name.casefold().partition(";")[0].rstrip(".")
