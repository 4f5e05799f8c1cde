"""Parts of the shortcut probes: what is hidden, what a network says of it, and what follows."""
