"""Sizes read from codestreams agree with what the encoder was given."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from scanlens.sources.readers.codestream import declared_pixels


@pytest.mark.parametrize(
    ("kind", "options"), [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG2000", {})]
)
def test_size_of_an_encoded_image(kind: str, options: dict[str, bool]) -> None:
    buffer = BytesIO()
    extra = {"no_jp2": True} if kind == "JPEG2000" else options
    Image.fromarray(np.zeros((37, 53), dtype=np.uint8)).save(buffer, kind, **extra)
    assert declared_pixels(buffer.getvalue()) == 37 * 53


@pytest.mark.parametrize("frame", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\xff\xff", b"\0" * 64])
def test_anything_else_is_unknown(frame: bytes) -> None:
    assert declared_pixels(frame) is None
