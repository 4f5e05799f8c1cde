"""Where work runs: this machine's device, and later the distributed engine."""
