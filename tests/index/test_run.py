"""The index of a run: numbers of every report, links to what is there, and where the time went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scanlens.index.run import INDEX_PAGE, key_figures, time_table, write_index

ESTIMATE = {"value": 0.9123, "low": 0.88, "high": 0.94}
REPORTS = {
    "acquire": {"seconds": 2.0},
    "manifest": {"seconds": 3.0, "scans": 1200, "accepted": 1190, "quarantined": 10},
    "members/0": {"seconds": 10.0},
    "members/1": {"seconds": 5.0},
    "evaluation": {
        "test": {"auc_macro": ESTIMATE, "accuracy": {"value": None, "reason": "one class"}, "ece": ESTIMATE},
        "sets": {"test": {"coverage": ESTIMATE, "abstained": ESTIMATE}},
        "calibration": {"test": {"before": {"ece": 0.2}}},
        "settings": {"confidence": 0.95},
        "warnings": ["<b>few patients</b>"],
    },
    "map_scores": {
        "seconds": 1.0,
        "lesions": {
            "kinds": {"probability_map": {"pointing_game_near": ESTIMATE, "pointing_game": ESTIMATE}},
            "chance_near": {"value": 0.03},
            "chance": {"value": 0.01},
        },
    },
    "shortcuts": {"seconds": 1.0, "verdict": "found", "sentence": "The network takes a shortcut."},
}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Reports of a run without packaging, and two pages."""
    folder = tmp_path / "07_reports"
    for name, facts in REPORTS.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts))
    (folder / "report.html").touch()
    (tmp_path / "08_maps").mkdir()
    (tmp_path / "08_maps" / "gallery.html").touch()
    return folder


def test_what_is_there_is_linked_and_the_rest_is_not(reports: Path) -> None:
    facts = write_index(reports)
    page = (reports / INDEX_PAGE).read_text(encoding="utf-8")
    assert facts["links"] == ["report.html", "../08_maps/gallery.html"]
    for path in facts["links"]:
        assert f'href="{path}"' in page
        assert (reports / path).is_file()
    assert "MODEL_CARD" not in page
    assert "&lt;b&gt;few patients" in page


def test_every_stages_time_is_counted_once(reports: Path) -> None:
    seconds = write_index(reports)["seconds_by_stage"]
    assert seconds == {"acquire": 2, "manifest": 3, "training": 15, "map_scores": 1, "shortcuts": 1}
    table = time_table(seconds).splitlines()
    assert [line.split()[0] for line in table] == list(seconds)
    assert table[2].endswith("68 %")


def test_the_numbers_that_matter(reports: Path) -> None:
    found = {name: REPORTS.get(name, {}) for name in ("manifest", "evaluation", "map_scores", "shortcuts")}
    shown = {one.title: one for one in key_figures(found)}
    assert (shown["Test AUC"].value, shown["Test AUC"].note) == ("0.912", "0.880 to 0.940")
    assert (shown["Test accuracy"].value, shown["Test accuracy"].note) == ("-", "one class")
    assert shown["Sets that hold the truth"].note.endswith("0.95 promised")
    assert shown["Map's peak at the lesion"].note.endswith("chance 0.030")
    assert shown["Calibration error"].note.endswith("0.200 without calibration")
    assert shown["Shortcuts"].bad
    assert shown["In quarantine"].bad
    assert key_figures({name: {} for name in found}) == []
