"""Thumbnails for judges and rewards: each pixel the mean of the block it stands for."""

from __future__ import annotations

import logging

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from hypersd_app.training.core.contact_sheet import from_uint8
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.scribbles import silhouette

logger = logging.getLogger(__name__)

SIDE = 64  # what rewards read; the judge reads more
FRAMED = 0.88  # of an image's side, the longer side of a thing that stands alone: what judges and rewards have seen
BACKGROUND = 24  # how far from white a drawn background may be: decoders are not exact
SPECK = 0.1  # components smaller than this fraction of the largest are ignored
BLOCK = 256  # images, 50 MB


def shrink(images: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.uint8]:
    """(N, H, W, 3) uint8 to (N, side, side, 3)."""
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def shrink_tensor(images: Tensor) -> Tensor:
    """Float (N, 3, H, W) to (N, 3, 64, 64), differentiable, and equal to `shrink` but for its rounding."""
    return functional.interpolate(images, (SIDE, SIDE), mode="area")


def thumbnails(data: ImageDataset, side: int = SIDE) -> NDArray[np.uint8]:
    """Small copies of all images of a data set, (N, side, side, 3), mapped from a file that is made once, beside the images.

    The images are read in large blocks: faulting them in from a mapped file takes many times as long on a cold disk.
    """
    path, marker = data.folder / f"thumbnails-{side}.npy", data.folder / "config.json"
    if not path.exists() or path.stat().st_mtime < marker.stat().st_mtime:
        count = len(data.scenes)
        logger.info("shrinking %d images to %d px", count, side)
        partial = path.with_suffix(".partial")
        small = np.lib.format.open_memmap(partial, "w+", np.uint8, (count, side, side, 3))
        for start in range(0, count, BLOCK):
            small[start : start + BLOCK] = shrink(_read(data, start, min(BLOCK, count - start)), side)
        small.flush()
        partial.replace(path)
    return np.load(path, mmap_mode="r")


def _read(data: ImageDataset, start: int, count: int) -> NDArray[np.uint8]:
    rgba = data.rgba
    assert isinstance(rgba, np.memmap) and rgba.filename is not None
    size = int(np.prod(rgba.shape[1:]))
    flat = np.fromfile(rgba.filename, np.uint8, count * size, offset=rgba.offset + start * size)
    return flat.reshape(count, *rgba.shape[1:])[..., :3]


def framed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What stands on the image's white, in the middle and as large as in images that nobody drew: uint8, (H, W, 3).

    Judges have seen things of no other size; where a drawing puts them says nothing about whether they are right.
    """
    height, width = image.shape[:2]
    _, labels, found, _ = cv2.connectedComponentsWithStats((silhouette(image, BACKGROUND) > 0).astype(np.uint8))
    areas = found[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return image
    large = 1 + np.flatnonzero(areas >= SPECK * areas.max())
    x, y, across, down = cv2.boundingRect(np.isin(labels, large).astype(np.uint8))
    scale = FRAMED * width / max(across, down)
    move = np.array([[scale, 0, width / 2 - scale * (x + across / 2)], [0, scale, height / 2 - scale * (y + down / 2)]])
    return cv2.warpAffine(image, move, (width, height), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255)).astype(np.uint8)


def moved(
    images: NDArray[np.uint8],
    rng: np.random.Generator,
    reach: float = 0.06,
    sizes: tuple[float, float] = (0.85, 1.08),
) -> Tensor:
    """Images shifted, scaled, tinted and partly blurred at random, float (N, 3, 64, 64) in [-1, 1], white around them.

    A decoder's softness must not tell the judge that an image is not real.
    """
    count = len(images)
    seen = from_uint8(images) - 1  # white is 0, which is also what lies outside
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, :, :2] = np.eye(2) / rng.uniform(*sizes, (count, 1, 1))
    theta[:, :, 2] = rng.uniform(-reach, reach, (count, 2)) * 2
    grid = functional.affine_grid(torch.from_numpy(theta), list(seen.shape), align_corners=False)
    seen = functional.grid_sample(seen, grid, align_corners=False, padding_mode="zeros")
    blurred = functional.avg_pool2d(functional.pad(seen, (1, 1, 1, 1), mode="replicate"), 3, 1)
    share = torch.from_numpy(rng.choice([0.0, 0.5, 1.0], (count, 1, 1, 1), p=[0.5, 0.25, 0.25]).astype(np.float32))
    light = torch.from_numpy(rng.uniform(0.9, 1.1, (count, 3, 1, 1)).astype(np.float32))
    return ((seen + share * (blurred - seen) + 2) * light - 1).clamp(-1, 1)
