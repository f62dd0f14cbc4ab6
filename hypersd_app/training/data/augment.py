"""Augmentation of an image together with its control image: both are rotated, stretched, mirrored and warped alike.

Icon sets draw a key in one or two shapes, and people in any. Where a drawing is unlike all that was learnt from, a network
forgets what the words say of its colours.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_TURN = 30.0  # degrees, standard deviation
_STRETCH = 0.3  # of the logarithm of width to height
_WAVES = 3
_BEND = 0.1  # of half a thing's extent, the standard deviation of a wave's height
_FASTEST = 2.5  # radians over half a thing's extent
_SIZES = (0.8, 1.25)  # of the longer side as it was: strokes stay as wide as people draw them
_MOST = 0.92  # largest allowed longer side, as a fraction of the image
_LOOKED_AT = 96  # sampling points per side, to find the extent of the warped object
_REACH = 2.2  # how far from its centre to search, in half extents
_INK = 40  # of 255; a pixel that differs from white by less is blank

Pixels = NDArray[np.uint8]
Places = NDArray[np.float32]  # (..., 2), x before y


def bent(image: Pixels, control: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
    """Warp an image on white, (H, W, 3) or with alpha (H, W, 4), and its control image on black (H, W, 3) alike.

    The object stays entirely inside.
    """
    side = len(image)
    thing = np.maximum(control.max(-1), 255 - image[..., :3].min(-1)) > _INK
    x, y, width, height = cv2.boundingRect(thing.astype(np.uint8))
    if not width:
        return image, control
    middle, half = np.array([x + width / 2, y + height / 2]), max(width, height) / 2
    shape, waves = _shape(rng), rng.normal(0, _BEND, (_WAVES, 2))
    speeds, phases = rng.uniform(-_FASTEST, _FASTEST, (_WAVES, 2)), rng.uniform(0, 2 * np.pi, _WAVES)

    def source(places: Places) -> Places:
        """Source coordinates for each target point, in half extents around the centre."""
        moved = places + np.sin(places @ speeds.T + phases) @ waves
        return (middle + half * (moved @ shape.T)).astype(np.float32)

    looked_at = np.linspace(-_REACH, _REACH, _LOOKED_AT)
    coarse = source(np.stack(np.meshgrid(looked_at, looked_at), -1))
    reached = cv2.boundingRect(cv2.remap(thing.astype(np.uint8), coarse, None, cv2.INTER_NEAREST))
    step = looked_at[1] - looked_at[0]
    corner, extent = -_REACH + step * np.array(reached[:2]), step * np.array(reached[2:])
    longer = min(_MOST * side, 2 * half * rng.uniform(*_SIZES))
    scale = longer / max(extent.max(), step)
    shift = rng.random(2) * (side - scale * extent)
    pixels = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)
    places = source((pixels - shift) / scale + corner)
    white = cv2.remap(image, places, None, cv2.INTER_LINEAR, borderValue=(255, 255, 255, 0))
    return white.astype(np.uint8), cv2.remap(control, places, None, cv2.INTER_LINEAR).astype(np.uint8)


def _shape(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation and stretch, mirrored half of the time, (2, 2)."""
    turn, stretch = np.deg2rad(rng.normal(0, _TURN)), np.exp(rng.normal(0, _STRETCH) / 2)
    mirror = rng.choice([-1.0, 1.0])
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([mirror * stretch, 1 / stretch])
