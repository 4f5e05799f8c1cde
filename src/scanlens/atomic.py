"""Files that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path, *, alone: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it becomes ``path`` only if the block ends without an error.

    Args:
        path: The file to be written. Its folder is made if missing.
        alone: False where other processes may write the same file meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part") if alone else beside(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        # Also after a rename: of one link of a file onto another it does nothing.
        temporary.unlink(missing_ok=True)


def beside(path: Path) -> Path:
    """Return a name for an unfinished file beside ``path`` that no other process takes.

    A cluster may give a task of a node it has lost to another one while the first still writes.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON in one way only: the same content gives the same bytes, a NaN raises ValueError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
