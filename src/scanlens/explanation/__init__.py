"""Probability maps, overlays and the gallery."""
