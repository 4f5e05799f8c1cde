"""Stage ensemble: the trained networks as one classifier, and one report of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scanlens.errors import SettingsError
from scanlens.models.saved import join_members

_OWN = ("stage", "seconds")
"""What a report says of its stage's run, not of the network."""


def join(members: Path, reports: Path, folds: int, output: Path) -> dict[str, Any]:
    """Join ``folds`` members to one network.

    Args:
        members: Holds a folder a member, named by its number.
        reports: Holds a report a member.
        folds: Key ``training.folds``.
        output: See :func:`scanlens.models.saved.join_members`.

    Returns:
        Facts for ``ensemble.json``. Of one member its own; of several the means of their validation metrics,
        the spread of these (``{metric: {mean, std, low, high}}``, std over members with n - 1) and each
        member's own facts.

    Raises:
        SettingsError: Where a member's report is missing.
    """
    found = []
    for number in range(folds):
        path = reports / f"{number}.json"
        if not path.is_file():
            raise SettingsError(
                f"{path}: member {number} is not trained.", f"Run: dvc repro training@{number}"
            )
        content = json.loads(path.read_text(encoding="utf-8"))
        found.append({key: value for key, value in content.items() if key not in _OWN})
    digest = join_members([members / str(number) for number in range(folds)], output)
    if folds == 1:
        return found[0]
    names = [name for name in found[0] if name.startswith("val_")]
    spread = {name: spread_of([one[name] for one in found]) for name in names}
    return {
        "folds": folds,
        "scans": found[0]["scans"],
        "epochs": sum(one["epochs"] for one in found),
        "parameters": sum(one["parameters"] for one in found),
        "first_weights": found[0]["first_weights"],
        **{name: values["mean"] for name, values in spread.items()},
        "spread": spread,
        "members": found,
        "weights_sha256": digest,
    }


def spread_of(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean, std (n - 1), low and high of the members that have a value; None where there are too few."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return dict.fromkeys(("mean", "std", "low", "high"))
    return {
        "mean": float(known.mean()), "std": float(known.std(ddof=1)) if len(known) > 1 else None,
        "low": float(known.min()), "high": float(known.max()),
    }  # fmt: skip
