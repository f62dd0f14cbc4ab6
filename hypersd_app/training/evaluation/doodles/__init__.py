"""Doodles drawn by hand, and how well images follow them: never used in training."""
