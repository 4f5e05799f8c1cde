"""Laws that every kind of task keeps, and the registry."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from scanlens import tasks
from scanlens.config import data, schema
from scanlens.errors import ScanlensError, SettingsError
from scanlens.evaluation.assessment import Predicted, assess
from scanlens.evaluation.metrics import SCALARS
from scanlens.evaluation.ordinal import ORDINAL
from scanlens.evaluation.regression import NUMBER_METRICS
from scanlens.models.heads import HEADS
from scanlens.tasks import Classes, Number, OrderedClasses, Task, register, task_names, task_of
from tests.helpers.settings import data_settings

NAMED = [name for name in task_names() if name != "auto"]


def labels_of(task: Task) -> pd.Series:
    return pd.Series(["1", "2", "3", "2"] * 15)


def test_the_settings_know_the_same_names() -> None:
    assert set(NAMED) == set(get_args(data.TaskName))


def test_an_unknown_name_is_told_the_known_ones_and_a_taken_one_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"data\.task is 'segmentation'.*binary, multiclass"):
        task_of("segmentation")
    with pytest.raises(ValueError, match="multiclass is registered already"):
        register(Classes("multiclass"))


@pytest.mark.parametrize("name", NAMED)
def test_labels_become_targets_and_their_counts_agree(name: str) -> None:
    task, labels = task_of(name), labels_of(task_of(name))
    listing = pd.DataFrame({"path": labels, "label": labels, "problem": ""})
    names = task.label_names(data_settings("table"), task.clean(listing))
    targets = task.encode(labels, names)
    assert len(targets) == len(labels)
    assert np.isfinite(targets).all()
    assert task.unknown(labels, names) == []
    assert task.unknown(pd.Series(["tall"]), names) == ["tall"]
    assert sum(task.count(listing, names).values()) == len(labels)
    numbers = task.class_numbers(targets)
    assert numbers.dtype == np.int64
    assert (len(np.unique(numbers)) > 1) is task.has_classes
    assert task.strata(labels).index.equals(labels.index)
    assert task.headline in task.metrics
    assert task.head in HEADS
    task.check_accepted(listing.assign(status="ok"), np.ones(len(labels), bool), names)
    assert pickle.loads(pickle.dumps(task)) == task
    assert set(task.outputs(names).values()) <= {"string", "double"}


@pytest.mark.parametrize("name", NAMED)
def test_what_cannot_be_learnt_is_refused(name: str) -> None:
    task = task_of(name)
    manifest = pd.DataFrame({"label": ["1", "2"], "status": ["ok", "blank"]})
    with pytest.raises(SettingsError, match="most often: blank"):
        task.check_accepted(manifest, np.array([True, False]), ["1", "2"])


def test_a_numbers_scale_is_its_mean_and_spread_and_classes_have_none() -> None:
    numbers = np.array([1.0, 2.0, 6.0], np.float32)
    assert Number("n").scale(numbers) == pytest.approx((3.0, numbers.std()))
    assert Number("n").scale(np.ones(3)) == (1.0, 1.0)
    assert Classes("c").scale(np.arange(3)) == (0.0, 1.0)
    assert Number("n").tolerance(pd.Series(["1", "3"])) == pytest.approx(0.1)
    assert Classes("c").tolerance(pd.Series(["1", "3"])) is None


@pytest.mark.parametrize(
    ("kind", "names"),
    [(Classes, SCALARS), (OrderedClasses, (*SCALARS, *ORDINAL)), (Number, NUMBER_METRICS)],
)
def test_reports_show_what_is_measured(kind: type[Task], names: tuple[str, ...]) -> None:
    assert tuple(kind.metrics) == names


def test_the_cards_sentence_carries_the_promise() -> None:
    promised = {"confidence": 0.9, "set_threshold": 0.2, "half_width": 3.0}
    for task in map(task_of, NAMED):
        assert "90 %" in task.does(["a", "b"], promised, "image")
        assert "90 %" not in task.does(["a", "b"], {"confidence": 0.9}, "volume")
        assert "one volume" in task.does(["a", "b"], {"confidence": 0.9}, "volume")


def test_a_further_kind_of_task_fails_by_name_where_its_part_is_missing() -> None:
    @dataclasses.dataclass(frozen=True)
    class Several(Task):
        head = "sigmoid"
        has_classes = True
        metrics = Classes.metrics
        headline = "auc_macro"

    Several.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    predicted = Predicted(np.zeros((1, 2)), pd.DataFrame(), ["a", "b"])
    settings = schema.Evaluation(bootstrap=0, confidence=0.9, calibration="none", seed=0)
    with pytest.raises(ScanlensError, match=r"does not know data\.task=multilabel yet"):
        assess(Several("multilabel"), predicted, settings)


def test_importing_tasks_loads_no_framework() -> None:
    text = "".join(path.read_text() for path in Path(tasks.__file__).parent.glob("*.py"))
    assert "import torch" not in text
    assert "sklearn" not in text
