"""Scores of maps: do they sit on the lesion, does the network use what they mark, do they hold still?"""
