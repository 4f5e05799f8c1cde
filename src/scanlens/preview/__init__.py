"""What the pipeline will make of a data set, told before it does any of it."""
