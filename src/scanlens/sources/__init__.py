"""Readers: everything that turns a file into a Scan."""
