"""What keeps patients unknown: pseudonyms, aliases, de-identification, burned-in text."""
