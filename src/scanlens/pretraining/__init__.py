"""Training on made scans before the real ones."""
