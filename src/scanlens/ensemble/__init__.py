"""Stage ensemble: the trained networks as one classifier."""
