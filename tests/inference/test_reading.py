"""From a file to the network's input, and every way in which there is none."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel
import numpy as np

from scanlens.inference.reading import Reader, Ready
from scanlens.preprocess.preprocessor import Preprocessor
from scanlens.scaling.limits import Failed
from tests.helpers.tiny import PREPROCESSOR, checks, write_scan

CHECKS = checks(min_side=8, max_pixels=1000)


def reader(root: Path, **changes: object) -> Reader:
    return replace(Reader(root, 2, CHECKS, PREPROCESSOR), **changes)  # type: ignore[arg-type]


def test_pixels_are_the_files_own_between_their_extremes(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a" / "1.png", shape=(16, 16))
    found = reader(tmp_path)("a/1.png")
    assert isinstance(found, Ready)
    values = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(float)
    expected = (values - values.min()) / (values.max() - values.min())
    assert (found.pixels.shape, found.pixels.dtype) == ((1, 16, 16), np.float32)
    np.testing.assert_allclose(found.pixels[0], expected, atol=1e-6)
    assert (found.reference, found.geometry) == ("a/1.png", None)
    assert found.scan_id == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def test_where_it_is_wanted_the_geometry_says_where_the_scan_lies(tmp_path: Path) -> None:
    write_scan(tmp_path / "wide.png", shape=(12, 24))
    found = reader(tmp_path, located=True)("wide.png")
    assert isinstance(found, Ready)
    assert found.geometry is not None
    assert (found.geometry.spatial, found.geometry.size) == ((12, 24), (16, 16))
    rows, columns = found.geometry.inside
    assert (rows.stop - rows.start, columns.stop - columns.start) == (8, 16)
    padding = np.ones((16, 16), bool)
    padding[rows, columns] = False
    assert (found.pixels[0][padding] == 0).all()
    assert found.pixels[0][rows, columns].max() > 0.9


def test_what_cannot_be_used_fails_with_a_reason_and_without_its_name(tmp_path: Path) -> None:
    root = tmp_path / "SMITH"
    write_scan(root / "large.png", shape=(40, 40))
    write_scan(root / "small.png", shape=(7, 20))
    write_scan(root / "long.png", shape=(8, 40))
    write_scan(tmp_path / "outside.png", shape=(16, 16))
    (root / "blank.png").write_bytes(cv2.imencode(".png", np.full((16, 16), 7, np.uint8))[1].tobytes())
    (root / "text.png").write_text("no picture")
    (root / "empty.png").write_bytes(b"")
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.float32), np.eye(4)), root / "volume.nii")
    whole = (write_scan(root / "whole.png", shape=(16, 16))).read_bytes()
    (root / "half.png").write_bytes(whole[: len(whole) // 2])
    reasons = {}
    for name in ("large", "small", "long", "blank", "text", "empty", "half", "gone", "../outside"):
        found = reader(root)(f"{name}.png")
        assert isinstance(found, Failed), name
        reasons[name] = found.reason
    volume = reader(root)("volume.nii")
    assert isinstance(volume, Failed)
    reasons["volume"] = volume.reason
    assert not any("SMITH" in reason or "\n" in reason for reason in reasons.values())
    assert reasons["small"] == "too small: shortest side of 7 pixels, at least 8 needed"
    assert reasons["long"].startswith("too long: sides of ratio 5.0")
    assert reasons["blank"] == "blank: every pixel is 7"
    assert reasons["empty"] == "empty file"
    assert "1000" in reasons["large"].replace(",", "")
    assert len(set(reasons.values())) == len(reasons), reasons
    assert isinstance(reader(root)("whole.png"), Ready), "the others cost it nothing"


def test_a_kind_of_scan_that_was_not_learnt_from_fails(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png", shape=(16, 16))
    found = reader(tmp_path, checks=replace(CHECKS, modalities=["CT"]))("a.png")
    assert isinstance(found, Failed)
    assert found.reason.startswith("modality: ")
    assert found.reason.endswith("accepted are CT")


def test_what_the_preprocessor_refuses_fails_too(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png", shape=(16, 16))
    spaced = Preprocessor((16, 16), 1, "pad", "minmax", (0.5, 99.5), None, 2, spacing=(1.0, 1.0))
    found = reader(tmp_path, preprocessor=spaced)("a.png")
    assert isinstance(found, Failed)
    assert "spacing" in found.reason


def test_a_reader_and_what_it_read_travel_to_other_processes(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.png")
    own = reader(tmp_path, located=True)
    sent = pickle.loads(pickle.dumps(own))
    assert sent == own
    here, there = own("a.png"), pickle.loads(pickle.dumps(sent("a.png")))
    assert isinstance(here, Ready)
    assert here.pixels.tobytes() == there.pixels.tobytes()
    assert (here.scan_id, here.geometry) == (there.scan_id, there.geometry)


def test_a_worker_imports_no_runtime_and_no_drawing() -> None:
    script = (
        "import sys, scanlens.inference.reading; "
        "print(*{'torch', 'onnxruntime', 'matplotlib', 'mlflow', 'PIL.ImageDraw'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
