"""Sweeps over settings, and runs compared."""
