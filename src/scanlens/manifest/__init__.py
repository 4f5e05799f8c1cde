"""The manifest: every scan checked once and dealt to a split by patient."""
