"""One finite number a scan, in the unit of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.config.numbers import as_numbers, is_number, quantile_bins
from scanlens.config.schema import Data
from scanlens.errors import SettingsError
from scanlens.tasks.task import ClassNumbers, Metric, Targets, Task, _Kind

VALUE = "value"
"""Name of the number that is predicted where no column of the settings names it."""
AGREE_STD = 0.1
"""Standard deviations that two numbers may differ by and still agree on the same pixels."""


@dataclass(frozen=True)
class Number(Task):
    """A number."""

    head: ClassVar[str] = "regression"
    has_classes: ClassVar[bool] = False
    headline: ClassVar[str] = "mae"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "mae": Metric("Mean absolute error", "in the label's unit; lower is better"),
        "rmse": Metric(
            "Root mean squared error", "in the label's unit, large errors count more; lower is better"
        ),
        "r2": Metric("R2", "share of the labels' variance that is explained; 0 is always their mean"),
        "pearson": Metric("Pearson correlation", "of predictions and labels"),
        "spearman": Metric("Spearman correlation", "of their ranks"),
    }

    def clean(self, listing: pd.DataFrame) -> pd.DataFrame:
        """Numbers written in one way; a label that is no finite number becomes its row's problem.

        The manifest then quarantines the scan under its file's name.
        """
        numeric = listing["label"].map(is_number).astype(bool)
        problem = ("label: " + listing["label"].map(repr) + " is no finite number").where(
            ~numeric & (listing["problem"] == ""), listing["problem"]
        )
        label = listing["label"].where(
            ~numeric, listing["label"].map(lambda text: is_number(text) and repr(float(text)))
        )
        return listing.assign(label=label, problem=problem)

    def label_names(self, data: Data, listing: pd.DataFrame) -> list[str]:
        """The number's name: that of its column, where the settings name one.

        Raises:
            SettingsError: There are fewer than two different numbers.
        """
        usable = listing[listing["problem"] == ""]
        if usable["label"].nunique() < 2:
            wrong = listing[listing["problem"].str.startswith("label: ")]
            example = f"{wrong['path'].iloc[0]}: {wrong['problem'].iloc[0]}; " if len(wrong) else ""
            raise SettingsError(
                f"data.task is {self.name}, but the usable scans have {usable['label'].nunique()} different "
                f"numbers as labels ({example}{len(listing) - len(usable)} of {len(listing)} rows are "
                "unusable).",
                "Check data.columns.label, data.root and the paths.",
            )
        column = data.columns.label
        return [column if data.kind == "table" and column not in ("auto", "label") else VALUE]

    def count(self, listing: pd.DataFrame, names: Sequence[str]) -> dict[str, int]:
        """Scans that can be used."""
        return {names[0]: int((listing["problem"] == "").sum())}

    def strata(self, labels: pd.Series) -> pd.Series:
        """Quantile bins."""
        return quantile_bins(labels)

    def tolerance(self, labels: pd.Series) -> float | None:
        """:data:`AGREE_STD` standard deviations."""
        return AGREE_STD * float(as_numbers(labels).std()) if len(labels) else 0.0

    def check_accepted(
        self, manifest: pd.DataFrame, accepted: npt.NDArray[np.bool_], names: list[str]
    ) -> None:
        """Refuse numbers that are all the same."""
        labels = manifest.loc[accepted, "label"]
        if labels.nunique() < 2:
            reasons = manifest.loc[~accepted, "status"].value_counts()
            why = f" (most often: {reasons.index[0]})" if len(reasons) else ""
            raise SettingsError(
                f"{len(labels)} of {len(manifest)} scans are accepted, with {labels.nunique()} different "
                f"numbers as labels{why}.",
                "Correct the files or labels, or relax manifest.checks.",
            )

    def encode(self, labels: pd.Series, names: Sequence[str]) -> Targets:
        """The numbers, float32."""
        return as_numbers(labels).astype(np.float32)

    def unknown(self, labels: pd.Series, names: Sequence[str]) -> list[str]:
        """Labels that are no finite number."""
        return sorted(label for label in set(labels) if not is_number(label))

    def class_numbers(self, targets: Targets) -> ClassNumbers:
        """Zeros: all scans count as one class, which is balanced already."""
        return np.zeros(len(targets), dtype=np.int64)

    def scale(self, targets: Targets) -> tuple[float, float]:
        """Their mean and standard deviation; 1 for the latter where all are equal."""
        return float(targets.mean()), float(targets.std()) or 1.0

    def does(self, names: Sequence[str], calibration: Mapping[str, Any], scan: str) -> str:
        """A number, and an interval that keeps a promise where there is one."""
        width = calibration.get("half_width")
        interval = "without an interval"
        if width is not None:
            share = 100 * calibration["confidence"]
            interval = f"with an interval of ± {width:.4g} that is to hold {share:g} % of new scans' numbers"
        return (
            f"Predicts a number, {names[0]}, in the unit of the labels it learnt from (no unit is recorded) "
            f"for one {scan}, {interval}, and maps of the number that each place argues for."
        )

    def counted(self, names: Sequence[str], splits: Mapping[str, Mapping[str, int]]) -> list[str]:
        """The quantile bins of the manifest."""
        return sorted({name for counts in splits.values() for name in counts})

    def outputs(self, names: Sequence[str]) -> dict[str, _Kind]:
        """The number and its interval, empty where there is none."""
        return {"value": "double", "low": "double", "high": "double"}
