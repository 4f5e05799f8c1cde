"""Fixed-shape arrays in [0, 1] and the store that keeps them."""
