"""Which scans a data set holds and what is said about each."""
