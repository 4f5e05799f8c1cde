"""Classes: of two or more names a scan has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.tasks.finding import findings
from scanlens.tasks.task import ClassNumbers, Metric, Targets, Task, _Kind, task_of


@dataclass(frozen=True)
class Classes(Task):
    """Two classes (``binary``), more (``multiclass``), or as many as there are (``auto``)."""

    head: ClassVar[str] = "softmax"
    has_classes: ClassVar[bool] = True
    headline: ClassVar[str] = "auc_macro"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "auc_macro": Metric("AUC", "one class against the rest, mean over classes; 0.5 is chance"),
        "accuracy": Metric("Accuracy", "share of scans predicted right"),
        "balanced_accuracy": Metric(
            "Balanced accuracy", "mean sensitivity under its usual name; ignores class sizes", on_card=False
        ),
        "f1_macro": Metric("F1", "mean over classes"),
        "sensitivity_macro": Metric("Sensitivity", "share of a class found, mean over classes"),
        "specificity_macro": Metric("Specificity", "share of the others left alone, mean over classes"),
        "nll": Metric(
            "Negative log-likelihood", "of the true class, in nats; lower is better", on_card=False
        ),
        "brier": Metric("Brier score", "squared error of the probabilities; lower is better"),
        "ece": Metric("Calibration error (ECE)", "mean gap of confidence and accuracy; lower is better"),
    }

    def label_names(self, data: Data, listing: pd.DataFrame) -> list[str]:
        """The classes in order, each with at least one row that can be used.

        ``data.labels`` as given; without it the distinct labels sorted (as numbers where all are).

        Raises:
            SettingsError: A class is empty or none of its rows can be used, a label is given twice, there
                are fewer than two classes, or ``data.positive`` is none of two.
        """
        found = [label for label in listing["label"].unique() if label]
        labels = data.labels or self.ordered(found)
        if len(set(labels)) != len(labels):
            raise SettingsError(
                f"data.labels names a class twice: {', '.join(labels)}.", "Name each class once."
            )
        for label in labels:
            rows = listing[listing["label"] == label]
            broken = rows[rows["problem"] != ""]
            if len(rows) == 0:
                raise SettingsError(
                    f"The class {label!r} is empty: no scan has it. Found: {', '.join(sorted(found))}.",
                    "Add scans of this class, or take it out of data.labels.",
                )
            if len(rows) == len(broken):
                first = broken.iloc[0]
                raise SettingsError(
                    f"The class {label!r} is empty: none of its {len(rows)} scans can be used "
                    f"({first['path']}: {first['problem']}).",
                    "Check data.root and the paths.",
                )
        if len(labels) < 2:
            raise SettingsError(
                f"At least two classes are needed; found {len(labels)}: {', '.join(labels) or 'none'}.",
                "Check data.root, data.columns.label and data.labels.",
            )
        findings(labels, data.positive)
        return list(labels)

    def ordered(self, found: list[str]) -> list[str]:
        """The labels of a data set in order, where ``data.labels`` names none."""
        return sorted(found, key=float if all(label.isdecimal() for label in found) else str)

    def resolved(self, names: Sequence[str]) -> Task:
        """``binary`` for two classes and ``multiclass`` for more, unless the settings say which.

        Raises:
            SettingsError: The settings say ``binary`` and there are more than two classes.
        """
        if self.name == "auto":
            return task_of("binary" if len(names) == 2 else "multiclass")
        if self.name == "binary" and len(names) > 2:
            raise SettingsError(
                f"data.task is binary but there are {len(names)} classes: {', '.join(names)}.",
                "Set data.task=auto, or name two classes in data.labels.",
            )
        return self

    def count(self, listing: pd.DataFrame, names: Sequence[str]) -> dict[str, int]:
        """Scans of each class."""
        return {name: int((listing["label"] == name).sum()) for name in names}

    def strata(self, labels: pd.Series) -> pd.Series:
        """The classes."""
        return labels

    def tolerance(self, labels: pd.Series) -> float | None:
        """None: the same pixels have one class."""
        return None

    def check_accepted(
        self, manifest: pd.DataFrame, accepted: npt.NDArray[np.bool_], names: list[str]
    ) -> None:
        """Refuse a class without an accepted scan."""
        for name in names:
            own = (manifest["label"] == name).to_numpy()
            if (own & accepted).any():
                continue
            reasons = manifest.loc[own, "status"].value_counts()
            why = f" (most often: {reasons.index[0]})" if len(reasons) else ""
            raise SettingsError(
                f"class {name}: {reasons.sum()} scans listed, none accepted{why}.",
                "Correct the files, relax manifest.checks, or leave the class out with data.labels.",
            )

    def encode(self, labels: pd.Series, names: Sequence[str]) -> Targets:
        """Index of each label among the names, int64; -1 for one that is not among them."""
        return np.asarray(pd.Categorical(labels, categories=list(names)).codes, dtype=np.int64)

    def unknown(self, labels: pd.Series, names: Sequence[str]) -> list[str]:
        """Labels that are none of the classes."""
        return sorted(set(labels) - set(names))

    def class_numbers(self, targets: Targets) -> ClassNumbers:
        """The targets."""
        return targets

    def does(self, names: Sequence[str], calibration: Mapping[str, Any], scan: str) -> str:
        """Probabilities, and a set that keeps a promise where there is one."""
        sets = ""
        if calibration.get("set_threshold") is not None:
            share = 100 * calibration["confidence"]
            sets = f", the set of classes that is to hold the true one of {share:g} % of new scans"
        return (
            f"Gives each of {len(names)} classes ({', '.join(names)}) a calibrated probability for one "
            f"{scan}{sets}, and maps of where the evidence lies."
        )

    def counted(self, names: Sequence[str], splits: Mapping[str, Mapping[str, int]]) -> list[str]:
        """The classes."""
        return list(names)

    def outputs(self, names: Sequence[str]) -> dict[str, _Kind]:
        """The likeliest class, and the probability of each."""
        return {"label": "string", **{f"probability_{name}": "double" for name in names}}
