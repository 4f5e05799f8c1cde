"""Which patient goes to which split or fold."""
