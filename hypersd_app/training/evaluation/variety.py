"""How much images of one prompt differ when where they stand does not count."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.thumbnails import framed

SIDE = 32  # px


def aligned(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What is drawn, moved to the middle and to one size, as small copies (N, 32, 32, 3) in [0, 1]."""
    small = [cv2.resize(framed(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures]
    return np.stack(small).astype(np.float32) / 255


def variance(groups: list[NDArray[np.uint8]]) -> float:
    """The mean over groups of the variance between a group's images, per pixel and channel; each group (S, H, W, 3), S > 1."""
    return float(np.mean([aligned(group).var(0, ddof=1).mean() for group in groups]))
