"""Near copies among scans: flipped, cropped, re-encoded, re-exposed."""
