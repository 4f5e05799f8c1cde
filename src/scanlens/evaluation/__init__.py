"""Metrics with intervals, calibration, report."""
