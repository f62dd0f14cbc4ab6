"""What training asks of a reward and of a segmenter, whichever network answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Reward(Protocol):
    """Says how good images are, differentiably.

    `enough` is the value alpha_d from which on an image gets no further gradient.
    """

    title: str
    enough: float

    def __call__(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """float32 (B,), higher is better. `images`: float (B, 3, H, W) in [-1, 1]."""
        ...


class Segmenter(Protocol):
    """Says what shapes an image consists of."""

    def __call__(self, images: Tensor) -> Tensor:
        """Logits, float32 (B, K, h, w). `images`: float (B, 3, H, W) in [-1, 1]."""
        ...
