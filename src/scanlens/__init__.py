"""scanlens: from raw scans to calibrated classifiers and probability maps."""

__version__ = "0.1.0"
