"""A label that the settings do not name."""

from __future__ import annotations

import difflib

from scanlens.errors import SettingsError


def refuse_unknown_label(label: str, labels: list[str] | None, where: str) -> None:
    """Refuse a label that ``data.labels`` does not name.

    Args:
        label: The label found.
        labels: The choices, or None where every label is welcome.
        where: The table and row, or the folder, it stands in.

    Raises:
        SettingsError: Names the place, the value and the choices.
    """
    if labels is None or label in labels:
        return
    close = difflib.get_close_matches(label, labels, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise SettingsError(
        f"{where}: label {label!r} is not in data.labels{hint}; the choices are: {', '.join(labels)}.",
        "Correct the label, or add it to data.labels.",
    )
