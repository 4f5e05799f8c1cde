"""From files of many kinds to scans: reading one, and listing a data set."""
