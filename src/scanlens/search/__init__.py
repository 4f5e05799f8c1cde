"""Sweeps over settings: Optuna chooses, DVC runs the trials."""
