"""Gaussian noise with a generator per image, so that an image depends on its seed alone, not on its batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def noise(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Standard normal, float32 (B, *shape), row i from generator i; on the CPU, so that every device gets the same."""
    made = [torch.randn((1, *shape), generator=generator) for generator in generators]
    return made[0] if len(made) == 1 else torch.cat(made)


def seeded_noise(seeds: Iterable[int], shape: Sequence[int]) -> Tensor:
    """The initial noise of images with these seeds, float32 (B, *shape)."""
    return noise([torch.Generator().manual_seed(seed) for seed in seeds], shape)
