"""Colour and contrast drift of a student's images from the teacher's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Drift:
    """Of images of the same prompts. A student that drifts nowhere has (0, 1, 0, the teacher's).

    `mean`: root mean square over latent channels of the shift of the mean, in the teacher's standard deviations.
    `spread`: mean ratio of standard deviations. `brightness`: shift of the mean pixel, of 255. `white`: share of the
    images' outermost pixels that are white paper, as they should be.
    """

    mean: float
    spread: float
    brightness: float
    white: float


def drift(latents: Tensor, images: NDArray[np.uint8], teacher: Tensor, teacher_images: NDArray[np.uint8]) -> Drift:
    """Compare latents (N, C, H, W) and images (N, H, W, 3) with the teacher's."""
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    wanted, usual = teacher.mean((0, 2, 3)), teacher.std((0, 2, 3)).clamp_min(1e-6)
    return Drift(
        float(((mean - wanted) / usual).square().mean().sqrt()),
        float((deviation / usual).mean()),
        float(images.mean() - teacher_images.mean()),
        white_border(images),
    )


def white_border(images: NDArray[np.uint8], width: int = 4, white: int = 245) -> float:
    """The share of outermost pixels that are white."""
    edge = np.ones(images.shape[1:3], bool)
    edge[width:-width, width:-width] = False
    return float((images[:, edge].min(-1) >= white).mean())
