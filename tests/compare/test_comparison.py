"""Runs compared out of a real MLflow store: order, paired test, notes, page."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from scanlens.compare.comparison import Comparison, as_json, compare, comparison_text
from scanlens.compare.page import write_page
from scanlens.config.schema import Tracking
from scanlens.errors import SettingsError
from scanlens.tracking.runs import open_run
from scanlens.tracking.sweeps import SweepRun
from scanlens.tracking.trial import VARIABLE, Trial
from tests.compare.test_paired import table

METRICS = ["test.auc_macro", "val.auc_macro", "absent"]


def names_of(found: Comparison) -> list[str]:
    return [run.name for run in found.runs]


def track(local: Tracking, name: str, val: float, skill: float | None, scans: int = 120, **more: Any) -> str:
    """A run of network ``name``; a better ``skill`` gives better test predictions."""
    settings = {"seed": 0, "data": {"kind": "phantom"}, "model": {"name": name, **more}}
    with open_run(local, settings, {"scanlens.data_hash": "d"}) as run:
        run.log_metrics({"val_loss": 1.0, "train_loss": 2.0}, 0)
        run.log_metrics({"val_loss": 0.5, "train_loss": 1.0}, 1)
        metrics = {"val.auc_macro": val, "test.auc_macro": val, "test.auc_macro.low": val - 0.1}
        run.log_metrics({**metrics, "test.auc_macro.high": val + 0.05})
        if skill is not None:
            table(skill, scans=scans, seed=len(name)).to_parquet("predictions.parquet")
            run.log_predictions(Path("predictions.parquet"))
    time.sleep(0.01)
    return run.run_id


def test_the_best_by_validation_come_first_and_are_tested(local: Tracking) -> None:
    track(local, "cnn", 0.7, 1.0)
    track(local, "resnet", 0.9, 2.5)
    track(local, "dense", 0.6, 0.1)
    found = compare(local, [], None, None)
    assert found.by == "val.auc_macro"
    assert names_of(found) == ["resnet-phantom", "cnn-phantom", "dense-phantom"]
    assert found.tested == ("resnet-phantom", "cnn-phantom")
    assert found.test is not None
    assert found.test.scans == 120
    assert found.settings == {"model.name": ["resnet", "cnn", "dense"]}
    assert any("too good" in note for note in found.notes)
    assert any("3 pairs" in note for note in found.notes)
    text = comparison_text(found, METRICS)
    first = text.splitlines()[1]
    assert first.split()[:4] == ["1", "resnet-phantom", "finished", "resnet"]
    assert "0.9000 (0.800-0.950)" in first
    assert "absent" not in text
    assert "on the same 120 test scans of 60 patients" in text
    facts = json.loads(as_json(found))
    assert facts["runs"][0]["changed"] == {"model.name": "resnet"}
    assert [run["name"] for run in facts["runs"]] == names_of(found)
    assert facts["paired"]["differences"][0]["metric"] == "auc_macro"


def test_other_orders(local: Tracking) -> None:
    first, second = track(local, "cnn", 0.7, 1.0), track(local, "resnet", 0.9, 2.5)
    assert [run.id for run in compare(local, [], None, None, "test.auc_macro").runs] == [second, first]
    assert any(
        "the test split has chosen" in n for n in compare(local, [], None, None, "test.auc_macro").notes
    )
    # Of a loss the smallest is best.
    assert len(compare(local, [first], None, None, "val_loss").runs) == 1
    with pytest.raises(SettingsError, match="No run has a metric nothing"):
        compare(local, [], None, None, "nothing")
    with pytest.raises(SettingsError, match="at once"):
        compare(local, [first], "lr", None)


def test_numbers_of_training_are_those_of_the_epoch_that_was_kept(local: Tracking) -> None:
    for name, losses in (("early", (0.2, 0.9)), ("late", (0.5, 0.4))):
        with open_run(local, {"data": {"kind": "phantom"}, "model": {"name": name}}, {}) as run:
            for epoch, loss in enumerate(losses):
                run.log_metrics({"val_loss": loss, "val_auc": 1 - loss, "train_loss": loss}, epoch)
    found = compare(local, [], None, None, "val_loss")
    assert [run.name for run in found.runs] == ["early-phantom", "late-phantom"]
    assert found.runs[0].metrics == {"val_loss": 0.2, "val_auc": 0.8, "train_loss": 0.9}


def test_what_cannot_be_tested_says_why(local: Tracking) -> None:
    track(local, "cnn", 0.7, 1.0)
    assert "fewer than two" in compare(local, [], None, None).reason
    track(local, "resnet", 0.9, 2.5, scans=100)
    found = compare(local, [], None, None)
    assert found.test is None
    assert "test splits differ" in found.reason
    assert "no paired test: the test splits differ" in comparison_text(found, METRICS)
    track(local, "best", 0.95, None)
    assert "logged no test predictions" in compare(local, [], None, None).reason


def test_a_sweep_shows_what_it_chose(local: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = SweepRun(local, "nets", "", {"metric": "val_loss"})
    for number, name in enumerate(("cnn", "resnet")):
        trial = Trial("nets", number, {"model": name}, parent.run_id, "", 0, "val_loss", "none")
        monkeypatch.setenv(VARIABLE, trial.environment()[VARIABLE])
        track(local, name, 0.7 + number / 10, 1.0 + number, width=number, dropout=number / 10)
        parent.close_trial(number, "complete", {}, None)
    monkeypatch.delenv(VARIABLE)
    # What the sweep optimised orders its trials.
    assert compare(local, [], "nets", None).by == "val_loss"
    found = compare(local, [], "nets", None, "val.auc_macro")
    assert found.settings == {"model": ["resnet", "cnn"]}
    assert found.test is not None
    write_page(found, Path("page.html"))
    assert "Sweep nets" in Path("page.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_escapes_what_comes_from_outside(local: Tracking) -> None:
    track(local, "<script>alert(1)</script>", 0.7, 1.0)
    track(local, "resnet", 0.9, 2.5)
    write_page(compare(local, [], None, None), Path("page.html"))
    text = Path("page.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "://" not in text


def test_many_settings_get_a_table_of_their_own(local: Tracking) -> None:
    for number in (0, 1):
        track(local, f"net{number}", 0.8, 1.0, **{f"key{i}": f"{number}-{i}" for i in range(6)})
    found = compare(local, [], None, None)
    assert len(found.settings) == 7
    # A line a setting, below the lines of the runs.
    (line,) = [line for line in comparison_text(found, METRICS).splitlines() if line.startswith("model.key3")]
    assert set(line.split()[1:]) == {"0-3", "1-3"}
    write_page(found, Path("page.html"))
    assert "Settings that differ" in Path("page.html").read_text(encoding="utf-8")
