"""Random changes that keep the label, and the class-balanced bank."""
