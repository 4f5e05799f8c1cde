"""Networks by registry name."""
