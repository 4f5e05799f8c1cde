"""Fixtures of a tiny test split."""

from tests.helpers.cases import browser, case, slices_case, volume_case

__all__ = ["browser", "case", "slices_case", "volume_case"]
