"""Settings and tiny scans, and a pseudonym key of the tests' own."""

from tests.helpers.listings import key_file, scans, settings

__all__ = ["key_file", "scans", "settings"]
