"""Are areas flat and edges crisp? Measured inside the drawing, against renderings of the same size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.scribbles import silhouette
from hypersd_app.training.data.thumbnails import BACKGROUND

Pixels = NDArray[np.uint8]  # (H, W, 3)

WINDOW = 5  # px
FLAT = 2.0  # of 255: the standard deviation in a window below which it is flat
REACH = 16  # px on either side of an edge in which its plateaus are looked for
PER_PIXEL = 4  # samples of a profile per pixel
CONTRAST = 40.0  # of 255, between the plateaus of an edge that counts
EDGES = 300  # looked at per image


@dataclass(frozen=True)
class Surface:
    """`flat`: share of flat pixels inside the drawings. `edge_width`: median 10-90 % width of edges, px."""

    flat: float
    edge_width: float

    @staticmethod
    def of(images: NDArray[np.uint8], seed: int = 0) -> Surface:
        """Over images (N, H, W, 3). Compare only values of the same side; NaN where there is nothing to measure."""
        inside = flat = 0
        widths: list[NDArray[np.float64]] = []
        rng = np.random.default_rng(seed)
        for image in images:
            drawn = silhouette(image, BACKGROUND) > 0
            inside += int(drawn.sum())
            flat += int((flat_mask(image) & drawn).sum())
            widths.append(edge_widths(image, rng))
        found = np.concatenate(widths) if widths else np.empty(0)
        return Surface(flat / inside if inside else float("nan"), float(np.median(found)) if len(found) else float("nan"))


def flat_mask(image: Pixels) -> NDArray[np.bool_]:
    """Where the window around a pixel hardly varies in any channel, (H, W)."""
    values = image.astype(np.float32)
    mean = cv2.blur(values, (WINDOW, WINDOW))
    variance = cv2.blur(values * values, (WINDOW, WINDOW)) - mean * mean
    return variance.max(-1) < FLAT**2


def edge_widths(image: Pixels, rng: np.random.Generator) -> NDArray[np.float64]:
    """10-90 % widths of up to 300 edges, px: along the gradient, between the plateaus that the edge joins."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    places = np.argwhere(cv2.Canny(grey.astype(np.uint8), 40, 100) > 0)
    if not len(places):
        return np.empty(0)
    y, x = places[rng.permutation(len(places))[:EDGES]].T
    strength = np.hypot(across[y, x], down[y, x]).clip(1e-6)
    reach = np.arange(-REACH * PER_PIXEL, REACH * PER_PIXEL + 1, dtype=np.float32) / PER_PIXEL
    columns = x[:, None] + across[y, x, None] / strength[:, None] * reach
    rows = y[:, None] + down[y, x, None] / strength[:, None] * reach
    profiles = cv2.remap(
        grey, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    found = [_width(profile) for profile in profiles]
    return np.array([width for width in found if width is not None])


def _width(profile: NDArray[np.float32]) -> float | None:
    """The 10-90 % width of the rise in the middle of a profile, px; None for one of little contrast or without an end."""
    middle = len(profile) // 2
    steps = np.diff(profile)
    stops_before, stops_after = np.flatnonzero(steps[:middle] <= 0), np.flatnonzero(steps[middle:] <= 0)
    if not len(stops_before) or not len(stops_after):
        return None
    first, last = int(stops_before[-1]) + 1, middle + int(stops_after[0])
    low, high = float(profile[first]), float(profile[last])
    if high - low < CONTRAST:
        return None
    rise = profile[first : last + 1].astype(np.float64)
    ends = np.interp([low + 0.1 * (high - low), low + 0.9 * (high - low)], rise, np.arange(len(rise)))
    return float(ends[1] - ends[0]) / PER_PIXEL
