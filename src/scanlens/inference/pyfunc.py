"""The registered MLflow model: a script that loads the bundle beside it. No pickle is stored."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class BundleModel(PythonModel):
    """Scans by path in, calibrated probabilities out."""

    def load_context(self, context: Any) -> None:
        """Open and verify the bundle."""
        from scanlens.inference.bundle import open_bundle
        from scanlens.inference.runtime import choose

        self.bundle = open_bundle(Path(context.artifacts["bundle"]))
        self.judge = choose(self.bundle, "auto", os.cpu_count() or 1)[1]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict.

        Args:
            context: MLflow's.
            model_input: Column ``path``: files on the machine that serves.
            params: Not used.

        Returns:
            ``label`` and ``probability_<label>`` a row; unreadable scans have an empty label and NaN. Of a
            bundle that predicts a number ``value``, ``low`` and ``high``, NaN for unreadable scans.
        """
        from scanlens.inference.batch import predict_batch

        rows = []
        for path in model_input["path"]:
            with tempfile.TemporaryDirectory() as folder:
                predict_batch(
                    self.bundle,
                    self.judge,
                    Path(path),
                    Path(folder),
                    batch_size=1,
                    maps=False,
                    workers=0,
                )
                # A label such as 007 or NA is text.
                if self.bundle.task == "regression":
                    numbers = pd.read_csv(Path(folder) / "predictions.csv")
                    rows.append(numbers.reindex(range(1)))
                    continue
                table = pd.read_csv(
                    Path(folder) / "predictions.csv", dtype={"label": str}, keep_default_na=False
                )
                rows.append(table.reindex(range(1)))
        if self.bundle.task == "regression":
            return pd.concat(rows, ignore_index=True)[["value", "low", "high"]].astype(float)
        names = ["label", *(f"probability_{label}" for label in self.bundle.labels)]
        return pd.concat(rows, ignore_index=True)[names].fillna({"label": ""})


mlflow.models.set_model(BundleModel())
