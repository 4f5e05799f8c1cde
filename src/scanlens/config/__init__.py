"""From conf/ to params.yaml to checked dataclasses."""
