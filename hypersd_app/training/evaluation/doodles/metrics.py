"""How well an image follows a drawing: its lines, its outline and its colours."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.data.scribbles import BLACK, Colour, silhouette
from hypersd_app.training.data.thumbnails import BACKGROUND
from hypersd_app.training.evaluation.doodles.drawing import Doodle

Pixels = NDArray[np.uint8]

WITHIN = 4.0  # pixels between a stroke and an edge that counts as following it
CLOSE = 2.0  # the same where chance is taken off
RIM = 5  # pixels from the silhouette's border within which a line is outline
BAND = 5  # pixels beside a stroke where its colour is looked for
COLOURFUL = 40  # between the strongest and weakest channel of a pixel that has a colour
LEAST_SHARE = 0.15  # of the band has to have a colour at all
HUE_REACH = 30.0  # degrees


def edges(image: Pixels) -> NDArray[np.bool_]:
    """Edges in any channel (Canny, 1986), bool (H, W)."""
    soft = cv2.GaussianBlur(image, (5, 5), 1.0)
    found = [cv2.Canny(np.ascontiguousarray(soft[..., channel]), 40, 100) for channel in range(3)]
    return np.maximum.reduce(found) > 0


def edge_recall(image: Pixels, doodle: Doodle) -> float:
    """The share of the drawing's lines with an edge of the image within 4 pixels."""
    found = edges(image)
    if not found.any():
        return 0.0
    distance = cv2.distanceTransform((~found).astype(np.uint8), cv2.DIST_L2, 5)
    return float((distance[doodle.line_mask()] <= WITHIN).mean())


@dataclass(frozen=True)
class LineFollowing:
    """How far lines are followed beyond chance, 1 for all of them: outlines, and lines inside; NaN without any."""

    outline: float
    inner: float

    @staticmethod
    def measure(image: Pixels, doodle: Doodle) -> LineFollowing:
        """The share of line pixels with an edge of the image within 2 pixels, corrected for chance.

        Chance is the same share over all pixels inside the drawing: edges everywhere follow nothing.
        """
        found, inside = edges(image), doodle.silhouette() > 0
        distance = cv2.distanceTransform((~found).astype(np.uint8), cv2.DIST_L2, 5) if found.any() else np.full(found.shape, np.inf)
        near = distance <= CLOSE
        chance = float(near[inside].mean()) if inside.any() else 0.0
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
        lines = doodle.line_mask()
        parts = (lines & (depth <= RIM), lines & (depth > RIM))
        return LineFollowing(
            *((float(near[part].mean()) - chance) / max(1e-6, 1 - chance) if part.any() else float("nan") for part in parts)
        )


def silhouette_overlap(image: Pixels, doodle: Doodle) -> float:
    """Intersection over union of what the drawing encloses and what stands on the image's white."""
    asked, made = doodle.silhouette() > 0, silhouette(image, BACKGROUND) > 0
    return float((asked & made).sum() / max(1, (asked | made).sum()))


def colour_agreement(image: Pixels, doodle: Doodle) -> float:
    """The share of coloured strokes, by their length, whose neighbourhood has their hue within 30 degrees; NaN without any."""
    agreed = total = 0.0
    for stroke in doodle.strokes:
        if stroke.ink == BLACK:
            continue
        line = Doodle("", (stroke,)).line_mask().astype(np.uint8)
        band = cv2.dilate(line, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))) > 0
        length = float(line.sum())
        total += length
        agreed += length * _has_hue(image[band], stroke.ink)
    return agreed / total if total else float("nan")


def _has_hue(pixels: NDArray[np.uint8], ink: Colour) -> bool:
    values = pixels.astype(np.float32)
    colourful = values[np.ptp(values, axis=1) >= COLOURFUL]
    if len(colourful) < LEAST_SHARE * len(pixels):
        return False
    hues = np.deg2rad(2.0 * cv2.cvtColor(colourful.astype(np.uint8)[None], cv2.COLOR_RGB2HSV)[0, :, 0].astype(np.float32))
    middle = float(np.rad2deg(np.arctan2(np.sin(hues).mean(), np.cos(hues).mean())))
    wanted = 360 * colorsys.rgb_to_hsv(*(channel / 255 for channel in ink))[0]
    return abs((middle - wanted + 180) % 360 - 180) <= HUE_REACH
