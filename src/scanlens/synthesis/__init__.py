"""Made scans from a generator that saw the training split only."""
