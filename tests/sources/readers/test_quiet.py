"""Decoders say nothing: their messages quote what files hold."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scanlens.errors import UnreadableScan
from scanlens.sources.read import read_scan
from scanlens.sources.readers.quiet import quiet


def test_warnings_and_loggers_are_silent_inside_only(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn("PatientName is Doe", stacklevel=1)
            logging.getLogger("pydicom").error("PatientName is Doe")
            logging.getLogger("PIL.TiffImagePlugin").error("Doe")
        assert not seen
        assert not caplog.records
        warnings.warn("after", stacklevel=1)
        logging.getLogger("pydicom").error("after")
    assert [str(warning.message) for warning in seen] == ["after"]
    assert [record.message for record in caplog.records] == ["after"]


def test_libtiff_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.tiff", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tiff").read_bytes())
    content[100:4000] = b"\xff" * 3900
    (tmp_path / "a.tiff").write_bytes(content)
    with pytest.raises(UnreadableScan, match="truncated or corrupt"):
        read_scan(tmp_path, "a.tiff", dims=2, max_pixels=9999)
    assert capfd.readouterr().err == ""


def test_broken_files_are_silent(shared_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = shared_data / "broken"
    refused = 0
    for path in sorted(root.rglob("*")):
        if path.is_file():
            try:
                read_scan(root, path.relative_to(root).as_posix(), dims=2, max_pixels=10**7)
            except UnreadableScan:
                refused += 1
    assert refused >= 70
    assert capfd.readouterr().err == ""
