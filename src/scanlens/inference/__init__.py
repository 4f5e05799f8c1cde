"""Bundles and batch inference."""
