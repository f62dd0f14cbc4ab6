"""Looks that no icon set has, made from the vectors or the rendered pixels of one: ink outlines, pixel art, pastel."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

_PAINT = re.compile(r'\b(fill|stroke)="(?!none)[^"]*"')
_CSS_PAINT = re.compile(r"\b(fill|stroke):(?!none)[^;\"]*;?")
_OPACITY = re.compile(r'\b(?:fill-|stroke-)?opacity="[^"]*"')
_STROKE_WIDTH = re.compile(r'\bstroke-width="[^"]*"')
PIXELS = 32  # the side of a pixel drawing
_LEVELS = 6  # of every colour channel in a pixel drawing
INK, PAPER = "#1b1b1f", "#ffffff"


def inked(body: str, width: float) -> str:
    """An SVG body as black lines on white surfaces; `width` is the side of its view box."""
    body = _OPACITY.sub("", _CSS_PAINT.sub("", body))
    body = _PAINT.sub(lambda match: f'{match.group(1)}="{PAPER if match.group(1) == "fill" else INK}"', body)
    body = _STROKE_WIDTH.sub("", body)
    return f'<g fill="{PAPER}" stroke="{INK}" stroke-width="{width * 0.018:.3f}" stroke-linejoin="round">{body}</g>'


def pixelated(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of straight alpha, (S, S, 4) uint8, as `PIXELS` x `PIXELS` squares of few colours, opaque or empty."""
    side = rgba.shape[0]
    alpha = rgba[..., 3:].astype(np.float32) / 255
    small = cv2.resize(np.concatenate([rgba[..., :3] * alpha, alpha], -1), (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
    covered = small[..., 3] >= 0.5
    colour = small[..., :3] / np.maximum(small[..., 3:], 1e-3)
    steps = np.round(colour / 255 * (_LEVELS - 1)) / (_LEVELS - 1) * 255
    drawn = np.dstack([steps, np.full(covered.shape, 255.0)]) * covered[..., None]
    return cv2.resize(drawn.clip(0, 255).astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST)


def pastel(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in light, soft colours, (S, S, 4) uint8."""
    colour = rgba[..., :3].astype(np.float32)
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    soft = grey[..., None] + 0.75 * (colour - grey[..., None])
    return np.dstack([(255 - (255 - soft) * 0.52).clip(0, 255).astype(np.uint8), rgba[..., 3]])
