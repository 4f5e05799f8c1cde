"""Acquisition dates as mere places in their order: the temporal split needs no more, and a date identifies.

One way of writing is found for the whole column, so that 03/04 is not April in one row and March in another.
"""

from __future__ import annotations

import pandas as pd

# Tried in order. The dotted one is DICOM's old way (ACR-NEMA), the compact ones are its own.
_FORMATS = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%Y")
_EITHER = ("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y")
_DIGITS = 6


def date_ranks(values: pd.Series) -> list[str] | None:
    """Replace dates by their dense rank, as six digits from 000000; an empty value stays empty.

    Args:
        values: Text: ISO 8601, DICOM (YYYYMMDD), or anything else pandas can read.

    Returns:
        None where some values are no dates, or where day and month can't be told apart.
    """
    known = values[values != ""]
    dates = _parsed(known) if len(known) else known
    if dates is None:
        return None
    ranks = dates.rank(method="dense").astype(int) - 1
    return [f"{ranks[row]:0{_DIGITS}d}" if row in ranks.index else "" for row in values.index]


def _parsed(known: pd.Series) -> pd.Series | None:
    for form in (*_FORMATS, "ISO8601"):
        if (dates := _by(known, form)) is not None:
            return dates
    for day_first, month_first in _EITHER:
        read = [dates for form in (day_first, month_first) if (dates := _by(known, form)) is not None]
        if read:
            # Both fit where no day is above 12; they agree only where that changes no order.
            return read[0] if len(read) == 1 or read[0].rank().equals(read[1].rank()) else None
    return _by(known, "mixed")


def _by(known: pd.Series, form: str) -> pd.Series | None:
    try:
        return pd.to_datetime(known, format=form, utc=True)
    except (ValueError, OverflowError):
        return None
