"""What tests of the engine draw, and how large."""

from __future__ import annotations

import numpy as np

SIZES = {"pocket": 256, "sd15": 256, "sdxl": 512}


def sketch(size: int) -> np.ndarray:
    """A white ring on black."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    ring = np.abs(np.hypot(x, y) - 0.3) < 0.02
    return np.repeat((ring * 255).astype(np.uint8)[:, :, None], 3, axis=2)
