from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from scanlens.config.schema import Evaluation
from scanlens.errors import ScanlensError
from scanlens.evaluation.conformal import half_width
from scanlens.evaluation.regression import NUMBER_METRICS, number_metrics, weighted_ranks
from scanlens.evaluation.report import tracked_metrics
from scanlens.evaluation.run import evaluate
from scanlens.tasks import task_of

NUMBER = task_of("regression")
CONFIG = Evaluation(bootstrap=200, confidence=0.9, calibration="temperature", seed=0)


@pytest.fixture
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.round(rng.normal(120, 15, 60))
    return targets + rng.normal(2, 5, 60), targets


def test_values_are_scikit_learns_and_scipys(numbers: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, targets = numbers
    found = number_metrics(predicted, targets, np.ones((1, 60)))
    assert found["mae"][0] == pytest.approx(mean_absolute_error(targets, predicted))
    assert found["rmse"][0] == pytest.approx(root_mean_squared_error(targets, predicted))
    assert found["r2"][0] == pytest.approx(r2_score(targets, predicted))
    assert found["pearson"][0] == pytest.approx(pearsonr(predicted, targets).statistic)
    assert found["spearman"][0] == pytest.approx(spearmanr(predicted, targets).statistic)


def test_a_weight_of_three_is_a_scan_drawn_three_times(numbers: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, targets = numbers
    counts = np.random.default_rng(1).integers(0, 4, 60)
    drawn = np.repeat(np.arange(60), counts)
    found = number_metrics(predicted, targets, counts[None].astype(float))
    plain = number_metrics(predicted[drawn], targets[drawn], np.ones((1, len(drawn))))
    for name in NUMBER_METRICS:
        assert found[name] == pytest.approx(plain[name])
    ranks = weighted_ranks(targets, counts[None].astype(float))[0]
    assert ranks[drawn] == pytest.approx(rankdata(targets[drawn]))


def test_what_is_undefined_is_nan() -> None:
    same, other = np.full(4, 0.1), np.arange(4.0)
    found = number_metrics(same, other, np.ones((1, 4)))
    assert np.isnan([found["pearson"][0], found["spearman"][0]]).all()
    assert np.isnan(number_metrics(other, same, np.ones((1, 4)))["r2"]).all()


@pytest.mark.parametrize(("scans", "confidence"), [(19, 0.95), (50, 0.9), (200, 0.8)])
def test_the_interval_keeps_its_promise(scans: int, confidence: float) -> None:
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(2000):
        width = half_width(rng.normal(size=scans), confidence)
        assert width is not None
        kept.append(abs(rng.normal()) <= width)
    assert confidence - 0.02 < np.mean(kept) < confidence + 0.05


def test_too_few_scans_give_no_interval() -> None:
    assert half_width(np.ones(18), 0.95) is None
    assert half_width(np.ones(0), 0.5) is None


def _index(targets: np.ndarray, splits: list[str]) -> pd.DataFrame:
    rows = range(len(targets))
    return pd.DataFrame(
        {
            "scan_id": [f"s{row}" for row in rows],
            "patient": [f"p{row // 2}" for row in rows],
            "split": splits,
            "site": "",
            "label": [repr(float(value)) for value in targets],
        }
    )


def test_the_report_of_numbers(numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    predicted, targets = numbers
    index = _index(targets, ["val"] * 30 + ["test"] * 30)
    facts = evaluate(
        predicted[:, None], index, ["pressure"], CONFIG, tmp_path, task=NUMBER, training_mean=120.0
    )
    width = half_width((predicted - targets)[:30], 0.9)
    assert facts["calibration"]["half_width"] == width
    inside = np.abs(predicted - targets)[30:] <= width
    assert facts["calibration"]["coverage"] == pytest.approx(inside.mean())
    assert facts["baseline"]["mae"] == pytest.approx(np.abs(targets[30:] - 120).mean())
    for entry in facts["test"].values():
        assert entry["low"] < entry["value"] < entry["high"]
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert table["label"].tolist() == targets.tolist()
    assert table["predicted"].tolist() == predicted.tolist()
    assert np.allclose(table["high"] - table["predicted"], width)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2
    assert "pressure" in page
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["test"]) == set(NUMBER_METRICS)
    assert tracked_metrics(facts)["test.mae"] == facts["test"]["mae"]["value"]


def test_without_calibration_there_is_no_interval_and_the_report_says_so(
    numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    config = Evaluation(bootstrap=0, confidence=0.9, calibration="none", seed=0)
    facts = evaluate(
        numbers[0][:, None],
        _index(numbers[1], ["val", "test"] * 30),
        ["value"],
        config,
        tmp_path,
        task=NUMBER,
    )
    assert facts["calibration"]["half_width"] is None
    assert any("without an interval" in warning for warning in facts["warnings"])
    assert pd.read_parquet(tmp_path / "predictions.parquet")["low"].isna().all()


def test_a_split_without_scans_is_null(numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    facts = evaluate(
        numbers[0][:, None], _index(numbers[1], ["test"] * 60), ["value"], CONFIG, tmp_path, task=NUMBER
    )
    assert facts["val"]["mae"]["value"] is None
    assert facts["calibration"]["method"] == "none"


def test_numbers_that_are_not_finite_are_refused(
    numbers: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(ScanlensError, match="NaN or infinite"):
        evaluate(
            numbers[0][:, None] * np.nan,
            _index(numbers[1], ["test"] * 60),
            ["value"],
            CONFIG,
            tmp_path,
            task=NUMBER,
        )
