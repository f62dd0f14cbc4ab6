"""Doodles drawn by hand, and how well pictures follow them: never used in training."""
