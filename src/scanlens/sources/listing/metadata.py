"""What else a label table says of its scans, made anonymous: enough to see whether it gives the label away.

A column may hold names, numbers of records or dates. Text becomes a keyed hash, so that equal values stay
equal; numbers become their place in their order, so that thresholds stay thresholds.
"""

from __future__ import annotations

import hashlib
import hmac

import pandas as pd

_DIGITS = 12
_PURPOSE = b"column\0"  # keeps these hashes apart from patients' pseudonyms, made with the same key


def anonymous_columns(table: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """Hide the values of a table of text.

    Args:
        table: Text columns, empty where unknown.
        key: The pseudonym key.

    Returns:
        The same columns: dense ranks as floats (NaN where unknown) where all values are numbers, else twelve
        hexadecimal digits of a keyed hash (empty where unknown). Columns of one value are left out.
    """
    made = {}
    for name in table.columns:
        values = table[name].str.strip()
        if values.nunique() < 2:
            continue
        numbers = pd.to_numeric(values.where(values != ""), errors="coerce")
        if numbers.notna().equals(values != ""):
            made[name] = numbers.rank(method="dense")
        else:
            made[name] = values.map({value: _hidden(name, value, key) for value in values.unique()})
    return pd.DataFrame(made, index=table.index)


def _hidden(column: str, value: str, key: bytes) -> str:
    if not value:
        return ""
    return hmac.new(key, _PURPOSE + f"{column}\0{value}".encode(), hashlib.sha256).hexdigest()[:_DIGITS]
