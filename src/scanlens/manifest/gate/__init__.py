"""The gate after the manifest: what splits share, and what gives the label away."""
