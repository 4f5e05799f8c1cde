"""Tracked runs side by side, the two best tested against each other."""
