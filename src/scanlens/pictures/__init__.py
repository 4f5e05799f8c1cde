"""Maps and scans as pictures: overlays, legend, slices, contact sheets."""
