"""A number with its interval: what every report, table and sentence says of a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

JsonEstimate = dict[str, Any]
"""``value``, ``low``, ``high`` (null where undefined), and ``reason`` where the value is."""


@dataclass(frozen=True)
class Estimate:
    """A number, its interval, and why one of the two is missing.

    Numbers that are NaN or infinite count as undefined, so that an estimate is always strict JSON.

    Attributes:
        value: On all scans; None where undefined.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        reason: Why the value or its interval is missing, or empty.

    Example:
        >>> auc = Estimate(0.912, 0.88, 0.9449)
        >>> auc.text()
        '0.91 (0.88 to 0.94)'
        >>> auc.above(0.5), auc.above(0.9), auc.to_json()
        (True, False, {'value': 0.912, 'low': 0.88, 'high': 0.9449})
        >>> Estimate(float("nan"), reason="no scan of class nodule").to_json()
        {'value': None, 'low': None, 'high': None, 'reason': 'no scan of class nodule'}
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, finite(getattr(self, name)))

    def text(self, spec: str = "z.2f", undefined: str = "undefined") -> str:
        """As people read it: ``0.91 (0.88 to 0.94)``, ``0.91`` without an interval.

        Args:
            spec: How each number is written, as for :func:`format`.
            undefined: Said where there is no value.
        """
        if self.value is None:
            return undefined
        if self.low is None or self.high is None:
            return format(self.value, spec)
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def above(self, threshold: float) -> bool:
        """Whether the whole interval lies above; False without one."""
        return self.low is not None and self.low > threshold

    def below(self, threshold: float) -> bool:
        """Whether the whole interval lies below; False without one."""
        return self.high is not None and self.high < threshold

    def bounds(self) -> dict[str, float | None]:
        """``value``, ``low`` and ``high`` alone."""
        return {"value": self.value, "low": self.low, "high": self.high}

    def to_json(self) -> JsonEstimate:
        """The entry of a JSON report, with the reason where the value is null."""
        return {**self.bounds(), **({"reason": self.reason} if self.value is None and self.reason else {})}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Estimate:
        """From the entry of a JSON report; ends that it lacks are None."""
        return cls(entry["value"], entry.get("low"), entry.get("high"), entry.get("reason", ""))


def finite(value: SupportsFloat | None) -> float | None:
    """A finite float, or None (null in JSON)."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def json_of(estimates: Mapping[str, Estimate]) -> dict[str, JsonEstimate]:
    """Estimates by name as entries of a JSON report."""
    return {name: estimate.to_json() for name, estimate in estimates.items()}
