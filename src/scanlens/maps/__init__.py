"""Evidence and probability maps: values, geometry, regions, masks, files."""
