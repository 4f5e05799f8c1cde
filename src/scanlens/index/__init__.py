"""Stage index: one page that links what the other stages left, with the numbers that matter."""
