"""How a drawing reaches a scribble ControlNet: white strokes on black, tinted where the ink has a colour.

A control picture is a drawing's photographic negative with every stroke at full strength: the brightest channel says how
much of a pixel is covered, and which channels are darker says what the ink was. Black, grey and pencil come out as white
strokes, which is what scribble ControlNets everywhere are trained on; red ink comes out cyan, brown differs from orange.
Training data and the app make control pictures with the functions below and nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

PALEST = 24.0  # ink that differs less than this from white paper can't be seen, and is none
# What is less saturated than this counts as colourless: writing ink is seldom exactly grey, and JPEG tints what is.
COLOURLESS = 0.12


def stroke_tints(inks: NDArray[np.floating] | Pixels) -> NDArray[np.float32]:
    """Inks (..., 3) in [0, 255] as the tints of their strokes, float32 (..., 3) with 1 in the brightest channel."""
    negative = np.float32(255) - inks.astype(np.float32)
    tints = (negative / np.maximum(_brightest(negative), 1e-3)).astype(np.float32, copy=False)
    return np.float32(1) - _without_the_colourless(np.float32(1) - tints)


def stroke_colour(ink: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour of one ink's strokes in a control picture."""
    red, green, blue = (round(255 * float(value)) for value in stroke_tints(np.asarray(ink, np.float32)))
    return red, green, blue


def control_from_ink(inks: NDArray[np.floating] | Pixels, coverage: NDArray[np.floating]) -> Pixels:
    """The control picture of ink on white paper, uint8 (H, W, 3).

    `inks` (H, W, 3) in [0, 255] is each pixel's ink, `coverage` (H, W) in [0, 1] how much of the pixel it covers.
    """
    # Few pixels of a drawing are covered: what is done for each of them would take 10 ms for all.
    covered = np.flatnonzero(coverage > 0)
    inks = inks.reshape(-1, 3)[covered].astype(np.float32)
    strength = coverage.reshape(-1).take(covered).astype(np.float32)
    strength[_brightest(255 - inks)[:, 0] < PALEST] = 0
    control = np.zeros((coverage.size, 3), np.uint8)
    control[covered] = (255 * stroke_tints(inks) * strength[:, None]).round()
    return control.reshape(*coverage.shape, 3)


def ink_from_control(control: Pixels) -> Pixels:
    """The way back, uint8 (H, W, 4) with straight alpha: ink that gives the same control picture again."""
    coverage = control.max(-1, keepdims=True)
    lost = 1 - control.astype(np.float32) / np.maximum(coverage, 1)
    return np.concatenate([(255 * _with_the_colourless(lost)).round().astype(np.uint8), coverage], axis=-1)


def white_strokes(control: Pixels) -> Pixels:
    """The same strokes in white, for ControlNets that were trained without colours."""
    return np.repeat(control.max(-1, keepdims=True), 3, axis=-1)


def _brightest(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest of three channels (..., 3) as (..., 1); a tenth of the time that `max` takes over so short an axis."""
    return np.maximum(np.maximum(values[..., :1], values[..., 1:2]), values[..., 2:])


def _without_the_colourless(lost: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the channels lack of full brightness, shrunk so that saturations up to COLOURLESS become none."""
    saturation = _brightest(lost)
    kept = np.clip((saturation - COLOURLESS) / (1 - COLOURLESS), 0, 1)
    shrunk: NDArray[np.float32] = lost * (kept / np.maximum(saturation, 1e-6))
    return shrunk


def _with_the_colourless(lost: NDArray[np.float32]) -> NDArray[np.float32]:
    saturation = lost.max(-1, keepdims=True)
    before = np.where(saturation > 0, saturation * (1 - COLOURLESS) + COLOURLESS, 0)
    grown: NDArray[np.float32] = lost * (before / np.maximum(saturation, 1e-6))
    return grown
