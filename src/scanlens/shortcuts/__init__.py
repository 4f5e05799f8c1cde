"""Shortcut probes: does the network judge by the border, by marks or by the source?"""
