"""Which test scans there are, what was said of them, and which are worth looking at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from scanlens.errors import SettingsError

if TYPE_CHECKING:
    from scanlens.preprocess.store import Store


def predictions_of_test(
    predictions: pd.DataFrame, store: Store, rows: npt.NDArray[np.integer]
) -> pd.DataFrame:
    """The test rows of the predictions in the order of ``rows``, numbered from 0."""
    if not len(rows):
        raise SettingsError(
            "The test split is empty, so there is nothing to explain.", "Check manifest.split."
        )
    scan_ids = store.index["scan_id"].iloc[rows]
    test = predictions[predictions["split"] == "test"].set_index("scan_id", drop=False)
    missing = scan_ids[~scan_ids.isin(test.index)]
    if len(missing):
        raise SettingsError(
            f"The predictions lack {len(missing)} of {len(rows)} test scans, first {missing.iloc[0]}.",
            "Run the evaluation stage on this store.",
        )
    return test.loc[scan_ids].reset_index(drop=True)


def pictured_rows(predictions: pd.DataFrame, store: Store, most: int) -> npt.NDArray[np.int64]:
    """Store rows of the test scans that get a picture: the most uncertain first.

    Args:
        predictions: Evaluation's table.
        store: The preprocessed scans.
        most: Pictures.
    """
    rows = store.rows("test")
    return np.asarray(
        rows[most_uncertain_first(predictions_of_test(predictions, store, rows)).index[:most]], np.int64
    )


def most_uncertain_first(table: pd.DataFrame) -> pd.DataFrame:
    """The table in the order in which its scans are shown.

    Args:
        table: Of test scans, with ``uncertainty`` and ``scan_id``.
    """
    return table.sort_values(["uncertainty", "scan_id"], ascending=[False, True])
