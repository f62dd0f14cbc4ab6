"""Synthetic scribbles: the strokes that someone might draw for an image, from its outline and colour regions.

More than a third of the drawings use coloured ink, which asks for its colour there; black ink says nothing of colour. What a
ControlNet reads of them is decided in `models.ink`, for training and for the app alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.images.scribble import stroke_colour, stroke_tints

Polyline = NDArray[np.float32]  # (N, 2) x, y in pixels
Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
# Pens that people hold: the app's own, and the plain colours of a felt-tip set.
PENS: tuple[Colour, ...] = (
    (192, 69, 47), (212, 138, 28), (61, 127, 85), (45, 108, 174), (124, 81, 159),
    (230, 20, 20), (255, 130, 0), (255, 215, 0), (0, 160, 60), (0, 90, 220), (130, 0, 180), (255, 90, 170), (120, 70, 30),
    (0, 180, 200),
)  # fmt: skip
SILHOUETTE_SHARE = 0.25
PARTIAL_SHARE = 0.15
WIDE_SHARE = 0.1
DULL = 40  # regions with less between their strongest and weakest channel are drawn in black


@dataclass(frozen=True)
class Share:
    """How many drawings have black outlines `filled` with a zigzag of colour, or are `outlined` in colour; the others are black."""

    filled: float = 0.12
    outlined: float = 0.25


@dataclass(frozen=True)
class Stroke:
    """One line of the pen, and the ink that would match what it borders."""

    points: Polyline
    ink: Colour = BLACK


def silhouette(image: NDArray[np.uint8], tolerance: int = 8) -> NDArray[np.uint8]:
    """Foreground of an image on white as a 0/255 mask: all that white from the border does not reach.

    `tolerance` is how far from white a channel of the background may be.
    """
    padded = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    mask = np.zeros((padded.shape[0] + 2, padded.shape[1] + 2), np.uint8)
    near = (tolerance,) * 3
    cv2.floodFill(padded.copy(), mask, (0, 0), 0, near, near, 4 | cv2.FLOODFILL_MASK_ONLY | (255 << 8) | cv2.FLOODFILL_FIXED_RANGE)
    return 255 - mask[2:-2, 2:-2]


def outlines(mask: NDArray[np.uint8], smallest: float) -> list[Polyline]:
    """Closed contours of a 0/255 mask, longest first, those shorter than `smallest` pixels left out."""
    found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    lines = [contour[:, 0].astype(np.float32) for contour in found if len(contour) >= smallest]
    return sorted(lines, key=len, reverse=True)


def colour_regions(image: NDArray[np.uint8], mask: NDArray[np.uint8], count: int) -> list[NDArray[np.uint8]]:
    """Masks of the main flat colours inside the foreground, by k-means at half size."""
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    inside = cv2.resize(mask, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_NEAREST) > 0
    pixels = small[inside].astype(np.float32)
    if len(pixels) < 8 * count:
        return []
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 6, 2.0)
    _, labels, _ = cv2.kmeans(pixels, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
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


def main_ink(image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Colour:
    """The mean colour of the more colourful half of a 0/255 mask; black where the image is dull."""
    pixels = image[::2, ::2][mask[::2, ::2] > 0].astype(np.float32)  # every fourth pixel tells the colour
    if not len(pixels):
        return BLACK
    spread = pixels.max(1) - pixels.min(1)
    red, green, blue = pixels[spread >= np.median(spread)].mean(0)
    return (int(red), int(green), int(blue)) if max(red, green, blue) - min(red, green, blue) >= DULL else BLACK


def ink_inside(image: NDArray[np.uint8], line: Polyline) -> Colour:
    """`main_ink` of what a closed contour encloses."""
    x, y, width, height = cv2.boundingRect(line.astype(np.int32)[:, None])
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [(line - (x, y)).astype(np.int32)[:, None]], 255)
    return main_ink(image[y : y + height, x : x + width], mask)


def zigzag(region: NDArray[np.uint8], rng: np.random.Generator) -> Polyline | None:
    """A line to and fro across a 0/255 region, as one colours it in; None for a region too small."""
    size, spacing = region.shape[0], int(rng.integers(7, 18))
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), float(rng.uniform(0, 180)), 1.0)
    turned = cv2.warpAffine(region, turn, (size, size), flags=cv2.INTER_NEAREST)
    points: list[tuple[float, float]] = []
    for y in range(int(rng.integers(spacing)), size, spacing):
        columns = np.flatnonzero(turned[y])
        if len(columns) < 6:
            continue
        longest = max(np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1), key=len)
        ends = [(float(longest[0]) + 2, float(y)), (float(longest[-1]) - 2, float(y))]
        points += ends if len(points) % 4 == 0 else ends[::-1]
    if len(points) < 4:
        return None
    back = cv2.invertAffineTransform(turn)
    return (np.array(points) @ back[:, :2].T + back[:, 2]).astype(np.float32)


class Hand:
    """Random style of one synthetic drawing: simplification, jitter, warp, shift and scale."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng = size, rng
        self.tolerance, self.jitter = rng.uniform(1.0, 3.5), rng.uniform(0.0, 1.6)
        self.field = _warp_field(size, rng.uniform(0.0, 4.0), rng)
        self.scale, self.shift = rng.uniform(0.96, 1.04), rng.uniform(-0.03, 0.03, 2) * size

    def outline(self, line: Polyline) -> Polyline:
        """A contour as it is drawn."""
        simple = _simplify(line, self.tolerance)
        return self.moved(_smooth(simple + self.rng.normal(0, self.jitter, simple.shape).astype(np.float32), 2))

    def moved(self, curve: Polyline) -> Polyline:
        """A curve where this hand puts it."""
        pixels = curve.round().astype(int).clip(0, self.size - 1)
        curve = curve + self.field[pixels[:, 1], pixels[:, 0]]
        return ((curve - self.size / 2) * self.scale + self.size / 2 + self.shift).astype(np.float32)


def hand_strokes(image: NDArray[np.uint8], rng: np.random.Generator, outlined: bool = False, filled: bool = False) -> list[Stroke]:
    """The strokes of one imagined drawing of `image` (uint8, (S, S, 3) on white), in drawing order.

    `outlined` draws in the colours of what a line borders, `filled` in black and then colours the largest regions in.
    """
    mask = silhouette(image)
    lines = [(line, ink_inside(image, line) if outlined else BLACK) for line in outlines(mask, 24)]
    detailed = rng.random() >= SILHOUETTE_SHARE
    regions = colour_regions(image, mask, int(rng.integers(3, 7))) if detailed or filled else []
    inks = [main_ink(image, region) if outlined or filled else BLACK for region in regions]
    if detailed:
        pairs = zip(regions, inks, strict=True)
        lines += [(line, ink if outlined else BLACK) for region, ink in pairs for line in outlines(region, 28)[:6]]
    hand = Hand(image.shape[0], rng)
    strokes: list[Stroke] = []
    for line, ink in lines[:24]:
        curve = hand.outline(line)
        strokes += [Stroke(piece, ink) for piece in _break(curve, rng)]
        if rng.random() < 0.12:
            strokes.append(Stroke((curve + rng.normal(0, 1.5, 2)).astype(np.float32), ink))
    if filled:
        strokes += _fillings(regions, inks, hand)
    if rng.random() < PARTIAL_SHARE and len(strokes) > 1:
        strokes = strokes[: int(rng.integers(1, len(strokes)))]
    return strokes


def _fillings(regions: list[NDArray[np.uint8]], inks: list[Colour], hand: Hand) -> list[Stroke]:
    coloured = [(region, ink) for region, ink in zip(regions, inks, strict=True) if ink != BLACK]
    coloured.sort(key=lambda pair: -int((pair[0] > 0).sum()))
    lines = [(zigzag(region, hand.rng), ink) for region, ink in coloured[: int(hand.rng.integers(1, 4))]]
    return [Stroke(hand.moved(line), ink) for line, ink in lines if line is not None]


def pick_pen(ink: Colour, rng: np.random.Generator) -> Colour:
    """The pen someone takes for `ink`: about that colour, or the nearest of a few. Black stays black."""
    if ink == BLACK:
        return BLACK
    if rng.random() < 0.5:
        tints = stroke_tints(np.asarray(PENS))
        red, green, blue = PENS[int(np.square(tints - stroke_tints(np.asarray(ink))).sum(-1).argmin())]
    else:
        red, green, blue = (np.asarray(ink) * rng.uniform(0.75, 1.15) + rng.normal(0, 12, 3)).clip(0, 255).round()
    return int(red), int(green), int(blue)


def draw_strokes(strokes: list[Stroke], size: int, width: float) -> NDArray[np.uint8]:
    """Anti-aliased strokes as the ControlNet reads them: uint8, (size, size, 3)."""
    canvas = np.zeros((size, size, 3), np.uint8)
    for stroke in strokes:
        points = (stroke.points * 16).round().astype(np.int32)[:, None]
        cv2.polylines(canvas, [points], False, stroke_colour(stroke.ink), max(1, round(width)), cv2.LINE_AA, shift=4)
    return canvas


def scribble(image: NDArray[np.uint8], rng: np.random.Generator, share: Share = Share()) -> NDArray[np.uint8]:
    """A control image for `image` (uint8, (S, S, 3) on white): uint8, (S, S, 3), strokes on black."""
    kind = rng.random()
    filled, outlined = kind < share.filled, share.filled <= kind < share.filled + share.outlined
    strokes = hand_strokes(image, rng, outlined, filled)
    pens = {ink: pick_pen(ink, rng) if rng.random() < 0.85 else BLACK for ink in sorted({stroke.ink for stroke in strokes})}
    width = rng.uniform(6, 12) if rng.random() < WIDE_SHARE else rng.uniform(1, 6)
    return draw_strokes([replace(stroke, ink=pens[stroke.ink]) for stroke in strokes], image.shape[0], width)
