"""Stage packaging: the bundle, its model card and its exported network."""
