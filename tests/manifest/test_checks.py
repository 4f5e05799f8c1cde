"""Each reason for quarantine, and its absence just inside the limit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from scanlens.manifest.checks import contradictions, physical_extent, problem, saturated_share, set_problems
from scanlens.tasks import task_of
from scanlens.types import Scan
from tests.helpers.tiny import checks

CHECKS = checks()

CLASSES = task_of("multiclass")


def noise(*shape: int, **fields: Any) -> Scan:
    return Scan(np.random.default_rng(0).random((1, *shape), dtype=np.float32), **fields)


def mostly(share: float) -> Scan:
    """A scan of which this share is one dark value and the rest is noise."""
    pixels = np.random.default_rng(1).random((1, 20, 50), dtype=np.float32) + 1
    pixels.reshape(-1)[: round(share * 1000)] = 0.5
    return Scan(pixels)


@pytest.mark.parametrize(
    ("scan", "dims", "kind"),
    [
        (noise(8, 32), 2, None),
        (noise(7, 20), 2, "too small"),
        (noise(10, 41), 2, "too long"),
        (noise(10, 41, spacing=(2.0, 1.0)), 2, None),
        (noise(10, 20, spacing=(0.1, 1.0)), 2, "too long"),
        (noise(10, 20, spacing=(0.0, 1.0)), 2, None),
        (noise(8, 40, 40), 3, "too long"),
        (noise(8, 40, 40, spacing=(5.0, 1.0, 1.0)), 3, None),
        (noise(8, 8, 8), 2, "dimensions"),
        (noise(8, 8), 3, "dimensions"),
        (Scan(np.full((1, 9, 9), 5, np.float32)), 2, "blank"),
        (Scan(np.array([[[0.0] * 8] * 7 + [[np.nan] * 8]], np.float32)), 2, "not finite"),
        (Scan(np.array([[[0.0] * 8] * 7 + [[np.inf] * 8]], np.float32)), 2, "not finite"),
        (mostly(0.97), 2, None),
        (mostly(0.99), 2, "saturated"),
        (Scan(-mostly(0.99).pixels), 2, "saturated"),
        (Scan((mostly(0.5).pixels > 1).astype(np.float32)), 2, "saturated"),
    ],
)
def test_problems(scan: Scan, dims: int, kind: str | None) -> None:
    found = problem(scan, dims, CHECKS)
    assert (found.split(":")[0] if found else None) == kind


def test_each_limit_changes_something() -> None:
    assert problem(noise(8, 30), 2, checks(min_side=9)) is not None
    assert problem(noise(8, 30), 2, checks(max_aspect=3.0)) is not None
    assert problem(noise(8, 30, modality="MR"), 2, checks(modalities=["CR", "DX"])) == (
        "modality: MR, accepted are CR, DX"
    )
    assert problem(noise(8, 30, modality="DX"), 2, checks(modalities=["CR", "DX"])) is None
    assert problem(mostly(0.99), 2, checks(max_saturated=0.999)) is None
    assert problem(mostly(0.9), 2, checks(max_saturated=0.89)) is not None
    assert problem(noise(8, 30), 2, checks()) is None
    wobbling = replace(noise(8, 8, 8), wobble=0.004)
    assert problem(wobbling, 3, checks()) is None
    assert "differ by 0.0040, at most 0.003 allowed" in str(problem(wobbling, 3, checks(max_wobble=0.003)))


def test_a_mask_is_told_from_an_overexposed_scan() -> None:
    mask = np.zeros((1, 20, 20), np.float32)
    mask[0, 5:15, 5:15] = 255
    assert "as in a mask" in str(problem(Scan(mask), 2, checks()))
    assert problem(Scan(mask), 2, checks(max_saturated=1.0)) is None
    assert "99.1 % of the picture" in str(problem(mostly(0.99), 2, checks()))


def test_a_small_organ_in_a_large_volume_is_not_saturated() -> None:
    volume = np.zeros((1, 28, 28, 28), np.float32)
    volume[0, 10:20, 10:18, 10:16] = 255
    assert (volume == 0).mean() > 0.97
    assert saturated_share(volume) == pytest.approx(1 - 8 * 6 / 28**2)
    assert problem(Scan(volume), 3, checks()) is None


def test_all_channels_have_to_be_saturated() -> None:
    colour = np.zeros((3, 16, 16), np.float32)
    colour[0] = np.arange(256).reshape(16, 16)
    assert saturated_share(colour) == pytest.approx(1 / 256)
    assert saturated_share(colour * 0 + np.eye(16, dtype=np.float32)) == 1.0


def test_real_scans_are_not_called_saturated(shared_data: Path) -> None:
    shapes = np.load(shared_data / "medmnist/adrenalmnist3d.npz")["test_images"][:, None].astype(np.float32)
    assert max(saturated_share(shape) for shape in shapes) < 0.98
    for folder in ("busi/*/*.png", "mednist/*/*.jpeg", "cxr/*/*.jpg"):
        paths = sorted(shared_data.glob(folder))[::40]
        assert paths
        pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) for path in paths]
        # A few of MedNIST are blank.
        shares = [saturated_share(picture[None]) for picture in pictures if np.ptp(picture)]
        assert max(shares) < 0.9


def test_extent_is_in_millimetres_where_the_spacing_is_known() -> None:
    assert physical_extent((10, 20), (0.5, 2.0)) == (5.0, 40.0)
    for unknown in (None, (), (float("nan"), 1.0), (-1.0, 1.0), (1.0,)):
        assert physical_extent((10, 20), unknown) == (10.0, 20.0)


def test_same_content_with_other_labels_is_contradictory_for_all() -> None:
    manifest = pd.DataFrame(
        {
            "path": list("pqrstu"),
            "label": ["a", "b", "a", "a", "a", "b"],
            "sha256": ["x", "x", "x", "y", "y", "z"],
            "pixel_sha256": "",
            "status": ["ok", "ok", "ok", "ok", "ok", "ok"],
        }
    )
    found = contradictions(manifest)
    assert found.index.tolist() == [0, 1, 2]
    assert found[0] == "contradiction: same content as q, labelled b"
    assert found[1] == "contradiction: same content as p, labelled a"
    manifest.loc[1, "status"] = "blank: every pixel is 0"
    assert contradictions(manifest).empty


def test_same_pixels_in_other_files_contradict_too() -> None:
    manifest = pd.DataFrame(
        {"path": list("pqr"), "label": list("aba"), "sha256": list("xyz"), "pixel_sha256": list("112")}
    ).assign(status="ok")
    assert contradictions(manifest).index.tolist() == [0, 1]


def accepted_set(scans: int = 60, **columns: Any) -> pd.DataFrame:
    """A manifest, as far as it is looked at, of like scans; columns replace or add to it."""
    table = {
        "status": "ok", "modality": "CR", "channels": 1, "photometric": "MONOCHROME2", "label": "a",
        "patient": [f"p{number}" for number in range(scans)],
        "split": ["train", "val", "test"] * (scans // 3),
        "shape": [[100, 80]] * scans, "spacing": [[0.2, 0.2]] * scans,
    }  # fmt: skip
    return pd.DataFrame({**table, **columns})


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"modality": ["CR"] * 40 + ["DX"] * 20}, "modalities are mixed: CR .40., DX .20.[.]"),
        ({"channels": [1] * 59 + [3]}, "channels are mixed: 1 .59., 3 .1.[.]"),
        ({"photometric": ["L"] * 59 + [""]}, "photometric interpretations are mixed: L .59., unknown .1.[.]"),
        ({"spacing": [[0.2, 0.2]] * 59 + [[]]}, "1 of 60 scans say nothing of their pixel spacing"),
        ({"spacing": [[0.2, 0.2]] * 30 + [[0.2, 0.5]] * 30}, "along the width is mixed: .* 0.2 and 0.5 mm"),
        (
            {"shape": [[100, 80]] * 58 + [[401, 9], [9, 24]]},
            r"2 scans are over 4 times .* \(from 24 to 401\)",
        ),
        ({"patient": "p"}, "val has 1 patients only"),
        ({"label": ["a"] * 48 + ["b"] * 12}, "test has 4 scans only of class b"),
    ],
)
def test_what_is_odd_about_a_set_is_said(columns: dict[str, Any], sentence: str) -> None:
    assert set_problems(accepted_set(), CLASSES) == []
    found = "\n".join(set_problems(accepted_set(**columns), CLASSES))
    assert re.search(sentence, found), found


def test_quarantined_scans_and_empty_sets_are_not_odd() -> None:
    odd = accepted_set(modality=["CR"] * 59 + ["US"], status=["ok"] * 59 + ["blank: every pixel is 0"])
    assert set_problems(odd, CLASSES) == []
    assert set_problems(accepted_set(status="blank: every pixel is 0"), CLASSES) == []
    assert set_problems(accepted_set(spacing=[[]] * 60), CLASSES) == []
