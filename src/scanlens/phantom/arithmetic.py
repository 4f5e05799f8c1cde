"""Numbers that come out alike on every machine.

IEEE 754 fixes the result of ``+ - * /``, the square root and rounding to the last bit. It does not fix
``exp``, ``log``, ``sin`` or powers, which NumPy and the C library compute in several ways and choose among by
the processor, nor the order of a sum. The phantoms are therefore drawn with the functions below and with sums
of integers alone, which are exact in any order. Single operations of NumPy do no two steps in one (no fused
multiply-add), so neither do these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from scanlens.types import FloatArray

_HALVINGS = 8
"""``exp(x)`` is the 2 ** 8th power of ``exp(x / 2 ** 8)``."""
_ROOT_HALF = math.sqrt(0.5)
_TERMS = 25
"""Terms of the sine's series; enough for the last digits of a double between -pi and pi."""


def exp(x: FloatArray | float) -> FloatArray:
    """The exponential, to 3e-5 of its value in float32 between -8 and 8.

    Below -80 and above 80 it stays what it is there.
    """
    small = np.asarray(np.clip(x, -80, 80) / (1 << _HALVINGS))
    result = np.ones_like(small)
    for term in (4, 3, 2, 1):
        result *= small / term
        result += 1
    for _ in range(_HALVINGS):
        result *= result
    return result


def log(x: FloatArray | float) -> FloatArray:
    """The natural logarithm of positive numbers, to 1e-8 (float32: 1e-6)."""
    mantissa, exponent = np.frexp(np.asarray(x))
    # log(m) = 2 artanh((m - r) / (m + r)) + log(r), r the middle of the mantissa's range.
    ratio = (mantissa - _ROOT_HALF) / (mantissa + _ROOT_HALF)
    square = ratio * ratio
    series = 1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square / 9)))
    return np.asarray((exponent.astype(mantissa.dtype) - 0.5) * 0.6931471805599453 + 2 * ratio * series)


def power(x: FloatArray | float, exponent: float) -> FloatArray:
    """``x ** exponent`` for ``x`` of 0 or more; below 1e-6 it stays what it is at 1e-6."""
    return exp(exponent * log(np.maximum(x, 1e-6)))


def sine(x: FloatArray | float) -> FloatArray:
    """The sine of radians, to 1e-12 near 0."""
    turned = np.asarray(x, dtype=np.float64)
    turned = turned - 2 * np.pi * np.rint(turned / (2 * np.pi))
    square = turned * turned
    series = np.ones_like(turned)
    for term in range(_TERMS, 1, -2):
        series = 1 - square / (term * (term - 1)) * series
    return np.asarray(turned * series)


def cosine(x: FloatArray | float) -> FloatArray:
    """The cosine of radians, to 1e-12 near 0."""
    return sine(np.asarray(x, dtype=np.float64) + np.pi / 2)


def uniform(
    rng: np.random.Generator,
    low: FloatArray | float,
    high: FloatArray | float,
    size: int | tuple[int, ...] | None = None,
) -> FloatArray:
    """Draw evenly between ``low`` and ``high``.

    ``Generator.uniform`` scales in C, where a compiler may do two steps in one.
    """
    return np.asarray(low + (high - low) * rng.random(size))


def _normal_quantiles() -> FloatArray:
    step = 2.0**-12
    middles = (np.arange(5 << 12) + 0.5) * step
    # Whole numbers, so that their running sum is exact.
    mass = np.cumsum(np.rint(exp(-middles * middles / 2) * 2**32))
    wanted = (np.arange(1 << 15) + 0.5) * (mass[-1] / (1 << 15))
    positive = (np.searchsorted(mass, wanted) + 0.5) * step
    return np.concatenate([-positive[::-1], positive])


NORMAL = _normal_quantiles()
"""``(65536,)`` equally likely values of a standard normal variable, ascending, from -4.3 to 4.3."""


def normal(
    rng: np.random.Generator,
    mean: FloatArray | float,
    deviation: FloatArray | float,
    size: int | tuple[int, ...] | None = None,
) -> FloatArray:
    """Draw from a normal distribution, one of :data:`NORMAL`.

    ``Generator.normal`` asks the C library for logarithms in its tails.
    """
    return np.asarray(mean + deviation * NORMAL[rng.integers(len(NORMAL), size=size)])


class Curve:
    """A smooth course through points that overshoots none of them (monotone cubic, Fritsch and Butland 1984).

    Args:
        knots: Where, ascending.
        values: What there.
    """

    def __init__(self, knots: Sequence[float], values: Sequence[float]) -> None:
        interpolator = PchipInterpolator(knots, values)
        self._knots, self._coefficients = interpolator.x, interpolator.c

    def __call__(self, x: FloatArray | float) -> FloatArray:
        """Its height at ``x``; beyond the ends it is as high as at them."""
        inside = np.clip(x, self._knots[0], self._knots[-1])
        piece = np.clip(np.searchsorted(self._knots, inside, side="right") - 1, 0, len(self._knots) - 2)
        along = inside - self._knots[piece]
        cubic, square, slope, start = self._coefficients[:, piece]
        return np.asarray(((cubic * along + square) * along + slope) * along + start)
