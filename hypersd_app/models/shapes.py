"""Pocket's shapes, which its parts agree on."""

from __future__ import annotations

MAX_TOKENS = 32
TEXT_DIMENSION = 384
LATENT_CHANNELS = 16
LATENT_SIDE = 16  # of 256 px
LAYOUT_CHANGE = LATENT_CHANNELS + 1  # what a sketch puts in the place of a layout, and how much of it
