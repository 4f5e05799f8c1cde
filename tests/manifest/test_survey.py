"""Every file of a folder is accounted for, by kind, with a reason where it is refused."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pydicom.uid import JPEG2000Lossless

from scanlens.errors import ScanlensError, SettingsError
from scanlens.manifest import survey as module
from scanlens.manifest.survey import CHECKS, Survey, as_table, file_class, survey, write_survey
from scanlens.scaling.engine import IN_PROCESS, Engine
from scanlens.types import Scan
from tests.helpers.hostile import nifti, picture, seeds, write_oddities

LOCAL = Engine("local", 2, None)


def look(path: Path, dims: int | None = None, engine: Engine = IN_PROCESS) -> Survey:
    return survey(path, dims=dims, checks=CHECKS, engine=engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound file of every format and three bad ones."""
    for suffix, content in seeds().items():
        (tmp_path / f"sound.{suffix}").write_bytes(content)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "page.dcm").write_text("<html></html>")
    (tmp_path / "cut.png").write_bytes(seeds()["png"][:99])
    (tmp_path / "notes.txt").write_text("no scan")
    (tmp_path / ".hidden").touch()
    return tmp_path


@pytest.mark.parametrize("engine", [IN_PROCESS, LOCAL], ids=["in process", "local"])
def test_every_file_once(folder: Path, engine: Engine) -> None:
    found = look(folder, engine=engine)
    accepted = [scan.path for scan in found.scans if scan.status == "accepted"]
    assert sorted(path.partition("#")[0] for path in accepted) == sorted(f"sound.{name}" for name in seeds())
    refused = {scan.path: scan.reason for scan in found.scans if scan.status == "quarantined"}
    assert set(refused) == {"below/page.dcm", "cut.png", "notes.txt"}
    assert all(refused.values())
    assert found.passed_over == 1


def test_classes(folder: Path) -> None:
    kinds = {scan.path.partition("#")[0]: scan.file_class for scan in look(folder).scans}
    assert kinds["sound.dcm"] == "DICOM, Explicit VR Little Endian, MONOCHROME2, 8 bit"
    assert kinds["sound.j2k.dcm"] == "DICOM, JPEG 2000 (Lossless Only), MONOCHROME2, 8 bit"
    assert kinds["sound.rle.dcm"] == "DICOM, RLE Lossless, MONOCHROME2, 8 bit"
    assert kinds["sound.nii"] == kinds["sound.nii.gz"] == "NIfTI, int16, 16 bit, volume"
    assert kinds["sound.png"] == kinds["sound.zip"] == "PNG, grey, 8 bit"
    assert kinds["sound.nrrd"].startswith("NRRD, ")
    assert kinds["sound.mha"].startswith("MetaImage, ")
    assert kinds["sound.tif"].startswith("TIFF, ")
    assert kinds["notes.txt"] == "refused: not an image this scanlens reads"


def test_dims(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "volume.nii").write_bytes(seeds()["nii"])
    (scans / "image.png").write_bytes(seeds()["png"])
    for dims, accepted in ((2, {"image.png"}), (3, {"volume.nii"}), (None, {"image.png", "volume.nii"})):
        found = look(scans, dims)
        assert {scan.path for scan in found.scans if scan.status == "accepted"} == accepted
        assert len(found.scans) == 2


def test_one_file(folder: Path) -> None:
    (scan,) = look(folder / "sound.dcm").scans
    assert (scan.path, scan.status) == ("sound.dcm", "accepted")


def test_a_scan_that_can_be_read_but_not_used_keeps_its_class(tmp_path: Path) -> None:
    (tmp_path / "flat.nii").write_bytes(nifti(picture()[:9, :9, None].repeat(9, axis=2) * 0))
    (scan,) = look(tmp_path).scans
    assert scan.status == "quarantined"
    assert scan.reason.startswith("blank")
    assert scan.file_class.startswith("NIfTI")


def test_the_table_has_a_line_a_class_and_a_total(folder: Path) -> None:
    found = look(folder)
    lines = as_table(found).splitlines()
    classes = Counter(scan.file_class for scan in found.scans)
    assert len(lines) == len(classes) + 2
    for kind, count in classes.items():
        (line,) = [line for line in lines if line.startswith(f"{kind}  ")]
        good, bad = map(int, re.findall(r"  +(\d+)  +(\d+)", line)[0])
        assert good + bad == count
        assert bad == 0 or line.count(".") >= 1  # a file name
    total = len(found.scans)
    assert lines[-1].startswith(f"{total} files, {total - 3} accepted, 3 quarantined, 1 passed over")


def test_file_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a\n\x1b[31mred.txt").write_text("no scan")
    table = as_table(look(tmp_path))
    assert table.count("\n") == 2
    assert "\x1b" not in table


def test_reasons_that_differ_in_numbers_are_one_class() -> None:
    reasons = ["3 x 9 pixels", "4 x 1.5 pixels", "transfer syntax 1.2.840 is not supported"]
    kinds = [module._refused("a", reason, 0).file_class for reason in reasons]
    assert kinds == ["refused: N x N pixels", "refused: N x N pixels", f"refused: {reasons[2]}"]


def test_the_checks_are_those_of_the_pipeline(project: Path) -> None:
    conf = yaml.safe_load((project / "conf" / "manifest" / "default.yaml").read_text(encoding="utf-8"))
    theirs = {name: value for name, value in conf["checks"].items() if name != "max_memory_mib"}
    assert {name: getattr(CHECKS, name) for name in theirs} == theirs
    assert CHECKS.max_memory_mib <= conf["checks"]["max_memory_mib"]


def test_the_memory_limit_reaches_the_reader(tmp_path: Path) -> None:
    wide = cv2.imencode(".png", picture().repeat(200, 0).repeat(200, 1))[1]
    (tmp_path / "wide.png").write_bytes(wide.tobytes())
    for mib, status in ((64, "quarantined"), (1024, "accepted")):
        (scan,) = survey(tmp_path, dims=None, checks=replace(CHECKS, max_memory_mib=mib), engine=LOCAL).scans
        assert scan.status == status
        assert ("memory" in scan.reason or "needs more" in scan.reason) == (status == "quarantined")


def test_nothing_there(tmp_path: Path) -> None:
    assert look(tmp_path) == Survey([], 0)
    assert as_table(look(tmp_path)).splitlines()[-1].startswith("0 files, 0 accepted, 0 quarantined")
    with pytest.raises(SettingsError, match="does not exist"):
        look(tmp_path / "no")


def test_the_report(folder: Path, tmp_path: Path) -> None:
    found = look(folder)
    target = tmp_path / "out" / "report.csv"
    write_survey(found, target)
    with target.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [scan.path for scan in found.scans]
    assert {row["status"] for row in rows} == {"accepted", "quarantined"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_said_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "report.csv"
    target.parent.mkdir()
    (target.parent / ".report.csv.part").symlink_to("/dev/full")
    with pytest.raises(ScanlensError, match=r"cannot be written: no space left on device"):
        write_survey(look(folder), target)
    assert os.listdir(target.parent) == []


def test_oddities(tmp_path: Path) -> None:
    reasons = write_oddities(tmp_path / "in", tmp_path / "out")
    found = {scan.path: scan for scan in look(tmp_path / "in").scans}
    assert set(found) == set(reasons)
    for name, pattern in reasons.items():
        assert (found[name].status == "accepted") == (pattern == ""), name
        assert re.search(pattern, found[name].reason), name
    shutil.rmtree(tmp_path / "in")


@pytest.mark.parametrize(("name", "files", "accepted"), [("dicom", 77, 60), ("broken", 255, 140)])
def test_real_folders(shared_data: Path, name: str, files: int, accepted: int) -> None:
    folder = shared_data / name
    found = look(folder, engine=LOCAL)
    there = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert sorted(scan.path for scan in found.scans) == there
    assert len(there) == files
    assert sum(scan.status == "accepted" for scan in found.scans) >= accepted
    assert all(scan.reason for scan in found.scans if scan.status == "quarantined")
    assert max(scan.peak_mib for scan in found.scans) < 1024


IMAGE, VOLUME = np.zeros((1, 4, 4), np.float32), np.zeros((1, 2, 4, 4), np.float32)


@pytest.mark.parametrize(
    ("head", "scan", "words"),
    [
        (b"\x89PNG\r\n", Scan(IMAGE, photometric="L"), "PNG, grey, 8 bit"),
        (b"\xff\xd8\xff\xe0", Scan(IMAGE, photometric="RGB"), "JPEG, RGB, 8 bit"),
        (b"II*\0", Scan(IMAGE, photometric="I;16", bits=16), "TIFF, grey, 16 bit"),
        (b"NRRD0004\n", Scan(VOLUME, bits=16), "NRRD, 16 bit, volume"),
        (b"ObjectType = Image\nNDims = 3\n", Scan(VOLUME, bits=16), "MetaImage, 16 bit, volume"),
        (b"\x1f\x8b\x08", Scan(VOLUME, bits=32), "NIfTI, 32 bit, volume"),
    ],
    ids=["png", "jpeg", "tiff", "nrrd", "metaimage", "nifti"],
)
def test_formats_colours_bits_and_volumes(head: bytes, scan: Scan, words: str) -> None:
    assert file_class(head, scan) == words


def test_dicom_says_its_coding() -> None:
    header = {"TransferSyntaxUID": JPEG2000Lossless}
    scan = Scan(IMAGE, photometric="MONOCHROME2", bits=16, header=header)
    words = file_class(b"\0" * 132, scan)
    assert words.startswith("DICOM, JPEG 2000")
    assert words.endswith("MONOCHROME2, 16 bit")
    assert "Image Compression" not in words
