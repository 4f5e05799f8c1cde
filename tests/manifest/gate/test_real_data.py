"""The gate on data sets whose traps are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.acquire.run import list_scans
from scanlens.config.schema import Columns, Data
from scanlens.manifest.build import Built, build_manifest
from scanlens.manifest.gate.verdict import LeakageError, judge
from scanlens.scaling.engine import Engine
from tests.helpers.tiny import manifest_section

pytestmark = pytest.mark.whole
AUTO = Columns("path", "label", "auto", "auto", "auto", "auto", "auto")
STRICT: dict[str, Any] = {
    "max_pixels": 1 << 28, "max_aspect": 10.0, "contradictions": "refuse", "shortcuts": "refuse",
}  # fmt: skip


def built(root: Path, kind: str, labels: list[str], **changes: Any) -> Built:
    """The manifest stage's work on a data set, with the gate as strict as it ships."""
    table = "labels.csv" if kind == "table" else None
    data = Data(kind, root.as_posix(), table, AUTO, "auto", 2, None, None, None)  # type: ignore[arg-type]
    config = manifest_section(**{**STRICT, **changes})
    source = {"kind": kind, "dims": 2, "labels": labels}
    return build_manifest(list_scans(data, root), root, source, config, engine=Engine("local", 2, None))


def verdict(result: Built, **changes: Any) -> list[str]:
    return judge(result.leaks, result.shortcuts, manifest_section(**{**STRICT, **changes}).leakage)


def test_chest_radiographs_dealt_at_random_are_refused(shared_data: Path) -> None:
    labels = ["covid", "normal", "pneumonia"]
    result = built(shared_data / "cxr", "table", labels, method="random")
    with pytest.raises(LeakageError, match=r"patients are in two splits or more"):
        verdict(result)
    assert sum(leak.kind == "patient" for leak in result.leaks) > 50


def test_chest_radiographs_dealt_by_patient_pass_with_a_warning_about_their_source(shared_data: Path) -> None:
    result = built(shared_data / "cxr", "table", ["covid", "normal", "pneumonia"])
    assert (result.manifest["status"] == "ok").all()
    assert any("site alone tells class covid" in warning for warning in verdict(result))
    assert any("21 patients have scans of several classes" in warning for warning in result.warnings)


def test_breast_ultrasound_with_contradictions_is_refused(shared_data: Path) -> None:
    result = built(shared_data / "busi", "folder", ["benign", "malignant", "normal"])
    found = [{leak.first, leak.second} for leak in result.leaks if leak.kind == "contradiction"]
    assert {"benign/benign (433).png", "malignant/malignant (145).png"} in found
    with pytest.raises(LeakageError, match="different labels"):
        verdict(result)


def test_copies_of_brain_slices_are_kept_together_or_refused(shared_data: Path) -> None:
    together = built(shared_data / "brain_tumor", "folder", ["no", "yes"])
    groups = together.manifest.groupby("pixel_sha256")["split"]
    assert (groups.size() > 1).sum() == 22
    assert (groups.nunique() == 1).all()
    assert verdict(together) == []
    apart = built(shared_data / "brain_tumor", "folder", ["no", "yes"], method="random")
    with pytest.raises(LeakageError, match="same pixels span two splits"):
        verdict(apart)


@pytest.fixture(scope="module")
def radiographs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A thousand radiographs of as many patients: 764 of adults, 236 of children; a listing and its root."""
    root = tmp_path_factory.mktemp("radiographs")
    table = pd.read_csv(shared_data / "cxr" / "labels.csv").drop_duplicates("patient_id")
    for number, path in enumerate(table["path"]):
        (root / f"adult{number:04d}.jpg").write_bytes((shared_data / "cxr" / path).read_bytes())
    children = np.load(shared_data / "medmnist" / "pneumoniamnist.npz")["test_images"]
    distinct = np.unique(children.reshape(len(children), -1), axis=0)[:: len(children) // 236][:236]
    for number, image in enumerate(distinct.reshape(-1, *children.shape[1:])):
        cv2.imwrite(str(root / f"child{number:04d}.png"), image)
    paths = sorted(path.name for path in root.iterdir())
    listing = pd.DataFrame({"path": paths, "patient": [f"p{path}" for path in paths]})
    listing = listing.assign(label=["a", "b"] * (len(paths) // 2), site="", split="", mask="", date="")
    listing.attrs["root"] = root
    return listing.assign(problem="")


def test_a_thousand_distinct_radiographs_raise_no_alarm(radiographs: pd.DataFrame) -> None:
    assert len(radiographs) == 1000
    source = {"kind": "table", "dims": 2, "labels": ["a", "b"]}
    root = radiographs.attrs["root"]
    config = manifest_section(**STRICT, method="random")
    result = build_manifest(radiographs, root, source, config, engine=Engine("local", 2, None))
    assert (result.manifest["status"] == "ok").all()
    assert result.leaks == []


def test_a_flipped_reencoded_copy_in_another_split_is_caught(radiographs: pd.DataFrame) -> None:
    root = radiographs.attrs["root"]
    original = "adult0100.jpg"
    flipped = cv2.flip(cv2.imread(str(root / original), cv2.IMREAD_GRAYSCALE), 1)
    cv2.imwrite(str(root / "zz-copy.jpg"), flipped, [cv2.IMWRITE_JPEG_QUALITY, 70])
    some = radiographs.iloc[::5]
    chosen = pd.concat([some[some["path"] != original], radiographs[radiographs["path"] == original]])
    planted = pd.concat([chosen, chosen.iloc[-1:].assign(path="zz-copy.jpg", patient="another")])
    splits = ["train", "val", "test"] * len(planted)
    planted = planted.assign(split=[*splits[: len(planted) - 2], "train", "test"], problem="")
    source = {"kind": "table", "dims": 2, "labels": ["a", "b"]}
    result = build_manifest(
        planted, root, source, manifest_section(**STRICT), engine=Engine("local", 2, None)
    )
    assert [(leak.kind, leak.first, leak.second) for leak in result.leaks] == [
        ("near_copy", original, "zz-copy.jpg")
    ]
    with pytest.raises(LeakageError, match="1 pair of near copies"):
        verdict(result)
