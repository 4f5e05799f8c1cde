"""A split's counts by pandas, and which splits have intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from scanlens.config.schema import Evaluation
from scanlens.evaluation.scoring import SplitScore, score_split

LABELS = ["normal", "nodule", "opacity"]


def scored(case: tuple[np.ndarray, pd.DataFrame], config: Evaluation, name: str = "test") -> SplitScore:
    logits, index = case
    targets = index["label"].map(LABELS.index).to_numpy()
    return score_split(name, index, softmax(logits.astype(float), 1), targets, LABELS, config)


def test_counts_are_pandas_own(make_case: Callable, config: Evaluation) -> None:
    logits, index = make_case(60, LABELS)
    score = scored((logits, index), config)
    assert (score.scans, score.patients) == (60, index["patient"].nunique())
    assert score.label_scans.tolist() == index["label"].value_counts()[LABELS].tolist()
    assert score.label_patients.tolist() == index.groupby("label")["patient"].nunique()[LABELS].tolist()
    predicted = [LABELS[k] for k in logits.argmax(1)]
    assert score.confusion.tolist() == confusion_matrix(index["label"], predicted, labels=LABELS).tolist()
    assert score.absent == []


def test_scans_of_unknown_patients_count_as_patients_of_their_own(
    make_case: Callable, config: Evaluation
) -> None:
    logits, index = make_case(60, LABELS)
    index.loc[:5, "patient"] = ""
    score = scored((logits, index), config)
    assert score.unknown_patients == 6
    assert score.patients == index.loc[6:, "patient"].nunique() + 6


def test_sites_are_counted_where_they_are_known(make_case: Callable, config: Evaluation) -> None:
    logits, index = make_case(60, LABELS)
    assert scored((logits, index), config).sites == 2
    assert scored((logits, index.assign(site="")), config).sites == 0


def test_a_class_without_scans_is_absent(make_case: Callable, config: Evaluation) -> None:
    logits, index = make_case(60, LABELS)
    kept = (index["label"] != "nodule").to_numpy()
    score = scored((logits[kept], index[kept]), config)
    assert score.absent == ["nodule"]
    assert score.label_patients[1] == 0


def test_training_scans_have_no_interval(make_case: Callable, config: Evaluation) -> None:
    case = make_case(60, LABELS)
    assert scored(case, config).bootstrap.low
    assert not scored(case, config, "train").bootstrap.low
