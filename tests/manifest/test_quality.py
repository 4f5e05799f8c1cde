"""The data-quality page: everything on it, nothing from outside, and no name leaves its place."""

from __future__ import annotations

import base64
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from scanlens.manifest.columns import COLUMNS
from scanlens.manifest.gate.giveaways import Shortcut
from scanlens.manifest.gate.leakage import Leak
from scanlens.manifest.quality import PAIRS, PER_CLASS, PER_REASON, readable, write_quality

HOSTILE = "a/<script>alert(1)</script>\"'&{{ 7*7 }}\u202egpj.exe\x1b[31m.png"
VOID = {"meta", "img", "br", "link", "input", "rect"}


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["title"]):
            self.text += f" {data}"

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def pictures(self) -> list[npt.NDArray[np.uint8]]:
        sources = [str(attributes["src"]) for tag, attributes in self.elements if tag == "img"]
        assert all(source.startswith("data:image/png;base64,") for source in sources)
        coded = [base64.b64decode(source.partition(",")[2]) for source in sources]
        return [np.asarray(cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_GRAYSCALE)) for one in coded]


SHOWN = 2 * PER_CLASS
"""Pictures of accepted scans: two classes of one modality."""


def manifest_of(scans: int = 90, **columns: Any) -> pd.DataFrame:
    """A manifest of like radiographs of two classes and two sites; columns replace its own."""
    number = np.arange(scans)
    table = {
        "scan_id": [f"{one:016x}" for one in number], "patient": [f"p{one // 2}" for one in number],
        "label": ["sick" if one % 3 else "well" for one in number],
        "split": [("train", "train", "val", "test")[one // 2 % 4] for one in number],
        "fold": -1, "group": [f"{one // 2 * 2:016x}" for one in number], "source": "table",
        "path": [f"scans/{one:03}.png" for one in number],
        "sha256": [f"{one:064x}" for one in number], "pixel_sha256": "", "perceptual_hash": "0" * 16,
        "shape": [[100 + one, 80] for one in number], "channels": 1, "spacing": [[0.2, 0.2]] * scans,
        "orientation": "", "modality": "CR", "photometric": "MONOCHROME2", "bits": 12,
        "intensity": [[-float(one), 4000.0] for one in number],
        "site": [("north", "south")[one % 2] for one in number], "burned_in": "no", "mask": "",
        "status": "ok",
    }  # fmt: skip
    return pd.DataFrame({**table, **columns}, columns=list(COLUMNS))


def quarantine(manifest: pd.DataFrame, rows: list[int], reason: str, *, read: bool) -> pd.DataFrame:
    manifest.loc[rows, ["status", "split"]] = reason, ""
    manifest.loc[rows, "channels"] = int(read)
    return manifest


def pictures_for(manifest: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """A picture of one grey value a row, so that each can be told from the others."""
    values = np.arange(len(manifest), dtype=np.uint8)
    return np.broadcast_to(values[:, None, None], (len(manifest), 64, 64)).copy()


def page_of(tmp_path: Path, manifest: pd.DataFrame, **parts: Any) -> Page:
    given = {"leaks": [], "shortcuts": [], "warnings": [], **parts}
    output = tmp_path / "data_quality.html"
    write_quality(manifest, **given, thumbnails=pictures_for(manifest), output=output)
    return Page(output)


def test_a_clean_set_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path, manifest_of())
    assert "Nothing to warn of." in page.words
    assert "Leaks 0 none found" in page.words
    assert "In quarantine 0 nothing refused" in page.words
    assert "Shortcuts" not in page.words
    assert len(page.pictures()) == SHOWN
    for fact in ("Scans listed 90", "Accepted 90 100.0 % of all", "Patients 45"):
        assert fact in page.words


def test_accepted_scans_are_shown_by_class_with_their_values(tmp_path: Path) -> None:
    manifest = manifest_of(modality=["CT" if one % 3 == 1 else "CR" for one in range(90)])
    manifest.at[0, "intensity"] = []
    page = page_of(tmp_path, manifest)
    # 30 are well and CR, 30 sick and CR, 30 sick and CT: six each, evenly from first to last.
    shown = [int(picture.mean()) for picture in page.pictures()]
    assert [shown[0], shown[5], shown[6], shown[11], shown[12], shown[17]] == [2, 89, 0, 87, 1, 88]
    assert "scans/089.png -89 to 4000" in page.words
    assert "CR 59 -89, -45, -2 4000, 4000, 4000 CT 30 -88, -44.5, -1 4000, 4000, 4000" in page.words


def test_counts_of_classes_splits_sites_and_patients(tmp_path: Path) -> None:
    manifest = manifest_of()
    page = page_of(tmp_path, manifest)
    splits = pd.crosstab(manifest["label"], manifest["split"])
    for label, row in splits.iterrows():
        cells = " ".join(
            f"{row[split]} {100 * row[split] / splits[split].sum():.1f} %"
            for split in ("train", "val", "test")
        )
        assert f"{label} {cells}" in page.words
    assert "train 46 51.1 % 23 north (23), south (23)" in page.words
    assert "Folds" not in page.words
    folds = page_of(tmp_path, manifest_of(fold=np.arange(90) % 3))
    assert "Fold sick well 0 0 30 1 30 0 2 30 0" in folds.words


def test_a_class_ratio_that_is_off_is_marked(tmp_path: Path) -> None:
    manifest = manifest_of(label="sick")
    manifest.loc[manifest.index[manifest["split"] == "test"][:10], "label"] = "well"
    page = page_of(tmp_path, manifest)
    marked = [attributes for tag, attributes in page.elements if tag == "td" and "off" in str(attributes)]
    assert len(marked) == 6


def test_quarantined_scans_are_shown_by_reason_with_their_own_pictures(tmp_path: Path) -> None:
    manifest = quarantine(manifest_of(), [3, 7], "too small: shortest side of 4 pixels", read=True)
    manifest = quarantine(manifest, [5], "not an image", read=False)
    page = page_of(tmp_path, manifest)
    assert [int(picture.mean()) for picture in page.pictures()[:-SHOWN]] == [3, 7]
    assert "too small 2 scans scans/003.png shortest side of 4 pixels" in page.words
    assert "not an image 1 scan .png not read scans/005.png" in page.words
    assert "2 kinds of reasons" in page.words
    table = page.words[page.words.index("What became") : page.words.index("Quarantine Left out")]
    assert re.search(r"ok 87 96\.7 % too small 2 2\.2 % scans/003\.png .* not an image 1 1\.1 %", table)


def test_a_long_quarantine_is_cut_short_and_says_so(tmp_path: Path) -> None:
    rows = list(range(PER_REASON + 5))
    manifest = quarantine(manifest_of(), rows, "blank: every pixel is 0", read=True)
    page = page_of(tmp_path, manifest)
    assert len(page.pictures()) == PER_REASON + SHOWN
    assert "And 5 more." in page.words


def test_leaking_pairs_stand_side_by_side(tmp_path: Path) -> None:
    leaks = [Leak("patient", f"scans/{one:03}.png", f"scans/{one + 1:03}.png", "train | test") for one in
             range(PAIRS + 2)]  # fmt: skip
    leaks += [Leak("near_copy", "scans/050.png", "scans/060.png", "val | test, correlation 0.998")]
    leaks += [Leak("contradiction", "scans/070.png", "elsewhere.png", "sick | well")]
    page = page_of(tmp_path, manifest_of(), leaks=leaks)
    shown = [int(picture.mean()) for picture in page.pictures()[:-SHOWN]]
    assert shown[:4] == [0, 1, 1, 2]
    assert shown[-3:] == [50, 60, 70]
    assert f"One patient in two splits {PAIRS + 2} cases" in page.words
    assert "And 2 more: leaks.csv lists all." in page.words
    assert "val | test, correlation 0.998" in page.words
    assert "elsewhere.png" in page.words
    assert f"Leaks {len(leaks)} shown below" in page.words


def test_shortcuts_and_warnings_are_listed(tmp_path: Path) -> None:
    cuts = [Shortcut("site", 0.9871, "sick", 80), Shortcut("ContrastBolusAgent", 1.0, "", 90)]
    page = page_of(tmp_path, manifest_of(), shortcuts=cuts, warnings=["one thing", "<b>another</b>"])
    assert "site class sick 0.987 80 ContrastBolusAgent the label 1.000 90" in page.words
    assert "one thing <b>another</b>" in page.words
    assert "Nothing to warn of" not in page.words


def test_nothing_is_loaded_and_nothing_runs(tmp_path: Path) -> None:
    manifest = quarantine(manifest_of(), [3], "blank: every pixel is 0", read=True)
    page = page_of(tmp_path, manifest, warnings=["see http://example.org"])
    kinds = Counter(tag for tag, _ in page.elements)
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(kinds)
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("href", "srcset")]
    assert "url(" not in page.source
    assert "@import" not in page.source
    policy = next(str(found["content"]) for tag, found in page.elements if "http-equiv" in found)
    assert policy.startswith("default-src 'none'")


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    manifest = manifest_of()
    manifest.loc[0, "path"] = HOSTILE
    manifest.loc[:, "label"] = manifest["label"].replace("sick", "<i>sick</i>")
    manifest.loc[:, "site"] = manifest["site"].replace("north", "<img src=x onerror=alert(1)>")
    manifest = quarantine(manifest, [0], "<b>reason</b>: <u>detail\u2066</u>", read=False)
    page = page_of(
        tmp_path,
        manifest,
        leaks=[Leak("copy", HOSTILE, "scans/001.png", "<s>detail</s>")],
        shortcuts=[Shortcut("<em>tag</em>", 1.0, "<q>class</q>", 3)],
        warnings=[HOSTILE],
    )
    assert not {"script", "i", "b", "u", "s", "em", "q"} & {
        tag for tag, attributes in page.elements if not attributes and tag not in ("b",)
    }
    assert "onerror" not in {name for _, attributes in page.elements for name in attributes}
    assert page.text.count("<script>alert(1)</script>\"'&{{ 7*7 }}\\u202egpj.exe\\x1b[31m.png") == 4
    for letter in "\u202e\x1b\u2066":
        assert letter not in page.source


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name (1).png", "plain name (1).png"),
        ("Röntgen 胸.dcm", "Röntgen 胸.dcm"),
        ("line\nbreak", "line\\nbreak"),
        ("\u202egnp", "\\u202egnp"),
        ("\udc80", "\\udc80"),
        ("no\u00a0break", "no\\xa0break"),
    ],
)
def test_names_are_readable(name: str, shown: str) -> None:
    assert readable(name) == shown


def test_the_same_manifest_gives_the_same_bytes_under_any_index(tmp_path: Path) -> None:
    manifest = quarantine(manifest_of(), [3], "blank: every pixel is 0", read=True)
    first = page_of(tmp_path, manifest).source
    assert page_of(tmp_path, manifest.set_index(np.arange(90)[::-1])).source == first


def test_a_set_without_a_single_accepted_scan_has_a_page(tmp_path: Path) -> None:
    manifest = quarantine(manifest_of(), list(range(90)), "file not found", read=False)
    page = page_of(tmp_path, manifest)
    assert "Accepted 0 0.0 % of all" in page.words
    assert "And 30 more." in page.words
