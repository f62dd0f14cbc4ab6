"""Synthetic scribbles: what a hand might draw of a picture, from its outline and its colour regions.

Strokes are white on black; a stroke of a colour asks for that colour there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Polyline = NDArray[np.float32]  # (N, 2) x, y in pixels
SILHOUETTE_SHARE = 0.25
COLOUR_SHARE = 0.3
PARTIAL_SHARE = 0.15


def silhouette(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Foreground of a picture on white as a 0/255 mask: all that white from the border does not reach."""
    padded = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    mask = np.zeros((padded.shape[0] + 2, padded.shape[1] + 2), np.uint8)
    cv2.floodFill(
        padded.copy(), mask, (0, 0), 0, (8, 8, 8), (8, 8, 8), 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8) | cv2.FLOODFILL_FIXED_RANGE
    )
    return 255 - mask[2:-2, 2:-2]


def outlines(mask: NDArray[np.uint8], smallest: float) -> list[Polyline]:
    """Closed contours of a 0/255 mask, longest first, those shorter than `smallest` pixels left out."""
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [contour[:, 0].astype(np.float32) for contour in found if len(contour) >= smallest]
    return sorted(lines, key=len, reverse=True)


def colour_regions(picture: NDArray[np.uint8], mask: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """Masks of the main flat colours inside the foreground, by k-means at half size."""
    small = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    pixels = small[inside].astype(np.float32)
    if len(pixels) < 8 * count:
        return []
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 6, 2.0)
    _, labels, _ = cv2.kmeans(pixels, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    regions = []
    for index in range(count):
        region = np.zeros(inside.shape, np.uint8)
        region[inside] = np.where(labels[:, 0] == index, 255, 0)
        region = cv2.morphologyEx(region, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        regions.append(cv2.resize(region, (mask.shape[1], mask.shape[0]), interpolation=cv2.INTER_NEAREST))
    return regions


def _simplify(line: Polyline, tolerance: float) -> Polyline:
    simple = cv2.approxPolyDP(line[:, None], tolerance, True)[:, 0].astype(np.float32)
    return np.concatenate([simple, simple[:1]])


def _smooth(line: Polyline, rounds: int) -> Polyline:
    """Chaikin's corner cutting: corners become curves, as a hand draws them."""
    for _ in range(rounds):
        near, far = 0.75 * line[:-1] + 0.25 * line[1:], 0.25 * line[:-1] + 0.75 * line[1:]
        line = np.stack([near, far], 1).reshape(-1, 2)
    return line


def _warp_field(size: int, strength: float, rng: np.random.Generator) -> NDArray[np.float32]:
    coarse = rng.normal(0, strength, (5, 5, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def _break(line: Polyline, rng: np.random.Generator) -> list[Polyline]:
    """Start anywhere, leave gaps, overshoot a little past the start."""
    line = np.roll(line, int(rng.integers(len(line))), axis=0)
    if rng.random() < 0.4:
        line = np.concatenate([line, line[: max(2, len(line) // 12)] + rng.normal(0, 1.5, 2).astype(np.float32)])
    pieces = [line]
    if rng.random() < 0.4 and len(line) > 12:
        cut = int(rng.integers(4, len(line) - 4))
        gap = max(1, int(len(line) * rng.uniform(0.02, 0.08)))
        pieces = [line[:cut], line[cut + gap :]]
    return [piece for piece in pieces if len(piece) >= 2]


def hand_strokes(picture: NDArray[np.uint8], rng: np.random.Generator) -> list[Polyline]:
    """The strokes of one imagined drawing of `picture` (uint8, (S, S, 3) on white), in drawing order."""
    size = picture.shape[0]
    mask = silhouette(picture)
    lines = outlines(mask, 24)
    if rng.random() >= SILHOUETTE_SHARE:
        for region in colour_regions(picture, mask, int(rng.integers(3, 7))):
            lines += outlines(region, 28)[:6]
    lines = lines[:24]
    tolerance, jitter = rng.uniform(1.0, 3.5), rng.uniform(0.0, 1.6)
    field = _warp_field(size, rng.uniform(0.0, 4.0), rng)
    scale, shift = rng.uniform(0.96, 1.04), rng.uniform(-0.03, 0.03, 2) * size
    strokes: list[Polyline] = []
    for line in lines:
        simple = _simplify(line, tolerance)
        simple = simple + rng.normal(0, jitter, simple.shape).astype(np.float32)
        curve = _smooth(simple, 2)
        pixels = curve.round().astype(int).clip(0, size - 1)
        curve = curve + field[pixels[:, 1], pixels[:, 0]]
        curve = (curve - size / 2) * scale + size / 2 + shift
        strokes += _break(curve.astype(np.float32), rng)
        if rng.random() < 0.12:
            strokes.append((curve + rng.normal(0, 1.5, 2)).astype(np.float32))
    if rng.random() < PARTIAL_SHARE and len(strokes) > 1:
        strokes = strokes[: int(rng.integers(1, len(strokes)))]
    return strokes


def _stroke_colour(picture: NDArray[np.uint8], stroke: Polyline) -> tuple[int, int, int]:
    """The picture's most saturated colour a few pixels around a stroke, lifted so that it shows on black."""
    points = stroke[:: max(1, len(stroke) // 24)].round().astype(int)
    near = np.concatenate([points + offset for offset in ((0, 0), (4, 0), (-4, 0), (0, 4), (0, -4))]).clip(0, len(picture) - 1)
    pixels = picture[near[:, 1], near[:, 0]].astype(np.float32)
    spread = pixels.max(1) - pixels.min(1)
    colour = np.median(pixels[spread >= np.quantile(spread, 0.6)], axis=0)
    lifted = colour * (max(96.0, colour.max()) / max(1.0, colour.max()))
    return tuple(int(channel) for channel in lifted)  # type: ignore[return-value]


def draw_strokes(strokes: list[Polyline], size: int, width: float, colours: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Anti-aliased strokes on black: uint8, (size, size, 3)."""
    canvas = np.zeros((size, size, 3), np.uint8)
    for stroke, colour in zip(strokes, colours, strict=True):
        points = (stroke * 16).round().astype(np.int32)[:, None]
        cv2.polylines(canvas, [points], False, colour, max(1, round(width)), cv2.LINE_AA, shift=4)
    return canvas


def scribble(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A control picture for `picture` (uint8, (S, S, 3) on white): uint8, (S, S, 3), strokes on black."""
    strokes = hand_strokes(picture, rng)
    coloured = rng.random() < COLOUR_SHARE
    colours = [_stroke_colour(picture, stroke) if coloured and rng.random() < 0.8 else (255, 255, 255) for stroke in strokes]
    return draw_strokes(strokes, picture.shape[0], rng.uniform(1.0, 6.0), colours)
