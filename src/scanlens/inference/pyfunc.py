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
        from scanlens.inference.runtime import choose_runtime

        self.bundle = open_bundle(Path(context.artifacts["bundle"]))
        self.judge = choose_runtime(self.bundle, "auto", os.cpu_count() or 1)[1]

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

        outputs = self.bundle.task.outputs(self.bundle.labels)
        # A label such as 007 or NA is text; an empty number is none.
        text = dict.fromkeys((name for name, kind in outputs.items() if kind == "string"), str)
        empty = {name: [""] for name in outputs if name not in text}
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
                table = pd.read_csv(
                    Path(folder) / "predictions.csv", dtype=text, keep_default_na=False, na_values=empty
                )
                rows.append(table.reindex(range(1)))
        found = pd.concat(rows, ignore_index=True)[list(outputs)]
        return found.fillna(dict.fromkeys(text, "")).astype(dict.fromkeys(empty, float))


mlflow.models.set_model(BundleModel())
