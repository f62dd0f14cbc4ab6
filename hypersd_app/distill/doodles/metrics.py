"""How well a picture follows a drawing: its lines, its outline and its colours."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from hypersd_app.distill.data.scribbles import BLACK, Colour, silhouette
from hypersd_app.distill.doodles.drawing import Doodle
from hypersd_app.distill.thumbnails import FRAMED

Picture = NDArray[np.uint8]

WITHIN = 4.0  # pixels between a stroke and an edge that counts as following it
BACKGROUND = 24  # how far from white a drawn background may be: decoders are not exact
BAND = 5  # pixels beside a stroke where its colour is looked for
COLOURFUL = 40  # between the strongest and weakest channel of a pixel that has a colour
LEAST_SHARE = 0.15  # of the band has to have a colour at all
HUE_REACH = 30.0  # degrees
SPECK = 0.1  # of the largest part's area, below which a part is no part of a thing


def edges(picture: Picture) -> NDArray[np.bool_]:
    """Edges in any channel (Canny, 1986), bool (H, W)."""
    soft = cv2.GaussianBlur(picture, (5, 5), 1.0)
    found = [cv2.Canny(np.ascontiguousarray(soft[..., channel]), 40, 100) for channel in range(3)]
    return np.maximum.reduce(found) > 0


def edge_recall(picture: Picture, doodle: Doodle) -> float:
    """The share of the drawing's lines with an edge of the picture within 4 pixels."""
    found = edges(picture)
    if not found.any():
        return 0.0
    distance = cv2.distanceTransform((~found).astype(np.uint8), cv2.DIST_L2, 5)
    return float((distance[doodle.line_mask()] <= WITHIN).mean())


def silhouette_overlap(picture: Picture, doodle: Doodle) -> float:
    """Intersection over union of what the drawing encloses and what stands on the picture's white."""
    asked, made = doodle.silhouette() > 0, silhouette(picture, BACKGROUND) > 0
    return float((asked & made).sum() / max(1, (asked | made).sum()))


def framed(picture: Picture) -> Picture:
    """What stands on the picture's white, in the middle and as large as in pictures that nobody drew: uint8, (H, W, 3).

    The judge of words has seen things of no other size; where a drawing puts them says nothing about whether they are right.
    """
    height, width = picture.shape[:2]
    _, labels, found, _ = cv2.connectedComponentsWithStats((silhouette(picture, BACKGROUND) > 0).astype(np.uint8))
    areas = found[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return picture
    large = 1 + np.flatnonzero(areas >= SPECK * areas.max())
    x, y, across, down = cv2.boundingRect(np.isin(labels, large).astype(np.uint8))
    scale = FRAMED * width / max(across, down)
    move = np.array([[scale, 0, width / 2 - scale * (x + across / 2)], [0, scale, height / 2 - scale * (y + down / 2)]])
    return cv2.warpAffine(picture, move, (width, height), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255)).astype(np.uint8)


def colour_agreement(picture: Picture, doodle: Doodle) -> float:
    """The share of coloured strokes, by their length, whose neighbourhood has their hue within 30 degrees; NaN without any."""
    agreed = total = 0.0
    for stroke in doodle.strokes:
        if stroke.ink == BLACK:
            continue
        line = Doodle("", (stroke,)).line_mask().astype(np.uint8)
        band = cv2.dilate(line, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND + 1, 2 * BAND + 1))) > 0
        length = float(line.sum())
        total += length
        agreed += length * _has_hue(picture[band], stroke.ink)
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
