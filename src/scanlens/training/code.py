"""What a kept result was made by: a hash of this package's sources and of the libraries' versions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import scanlens

PACKAGE = Path(scanlens.__file__).parent
_LIBRARIES = (
    "torch",
    "pytorch-lightning",
    "numpy",
    "scipy",
    "timm",
    "monai",
    "albumentations",
)


def code_hash(parts: Sequence[str]) -> str:
    """A hash of code: changed, what it made is no longer gone on from.

    Args:
        parts: Folders and files of this package, relative to it.
    """
    digest = hashlib.sha256()
    for part in parts:
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(PACKAGE).as_posix().encode())
            digest.update(file.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name}=={metadata.version(name)}\n".encode())
    return digest.hexdigest()
