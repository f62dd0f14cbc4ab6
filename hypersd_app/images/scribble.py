"""Control images from drawings: white strokes on black, tinted where the ink has a colour.

A control image is a drawing's photographic negative with every stroke at full strength: the brightest channel says how
much of a pixel is covered, and which channels are darker says what the ink was. Black, grey and pencil come out as white
strokes, which is what scribble ControlNets everywhere are trained on; red ink comes out cyan, brown differs from orange.
Training data and the app make control images with the functions below and nothing else; `engine.annotators` makes them from
photographs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.requests import SCRIBBLE, ControlInput

ImageLike = Image.Image | NDArray[np.uint8]
Pixels = NDArray[np.uint8]

PALEST = 24.0  # ink that differs less than this from white paper can't be seen, and is none
# What is less saturated than this counts as colourless: writing ink is seldom exactly grey, and JPEG tints what is.
COLOURLESS = 0.12
FAINTEST = 24.0  # less difference from the paper than this is noise of a scanner or of JPEG, not a stroke
LARGEST_GAIN = 3.0  # pale strokes gain so much beside the darkest; more would make strokes of a photograph's shadows
EDGE = 3  # how many pixels a stroke's soft edge is wide
DARK = 128.0
TRANSPARENT_SHARE = 0.2  # of an image whose paper is transparent; cut-off corners of a scan are less
LARGEST_READ = 1024  # pixels a side


def scribble_control(drawing: ImageLike, size: tuple[int, int]) -> Pixels:
    """What a scribble ControlNet reads of a drawing, uint8 (H, W, 3); `size` is (W, H).

    The one place that decides polarity. Ink on transparent paper is taken as it is. Else the border is paper, a stroke is
    whatever differs from it in lightness or colour, and pens on dark paper are read as on white: white is black, red is red.
    An image without strokes becomes all black, which means no control.
    """
    image = _at_most(_as_image(drawing), max(LARGEST_READ, *size))
    rgba = np.asarray(image.convert("RGBA")) if _has_alpha(image) else None
    # Not by the border alone: a drawing on transparent paper may run along it.
    if rgba is not None and (rgba[..., 3] < DARK).mean() > TRANSPARENT_SHARE:
        control = control_from_ink(rgba[..., :3], _stretched(rgba[..., 3]))
    else:
        control = control_from_ink(*separated(np.asarray(on_white(image), dtype=np.float32)))
    if control.shape[1::-1] == size:
        return control
    filter_ = Image.Resampling.BOX if _shrinks(image.size, size) else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(control).resize(size, filter_))


def stroke_tints(inks: NDArray[np.floating] | Pixels) -> NDArray[np.float32]:
    """Inks (..., 3) in [0, 255] as the tints of their strokes, float32 (..., 3) with 1 in the brightest channel."""
    negative = np.float32(255) - inks.astype(np.float32)
    tints = (negative / np.maximum(_brightest(negative), 1e-3)).astype(np.float32, copy=False)
    return np.float32(1) - _without_the_colourless(np.float32(1) - tints)


def stroke_colour(ink: tuple[int, int, int]) -> tuple[int, int, int]:
    """The colour of one ink's strokes in a control image."""
    red, green, blue = (round(255 * float(value)) for value in stroke_tints(np.asarray(ink, np.float32)))
    return red, green, blue


def control_from_ink(inks: NDArray[np.floating] | Pixels, coverage: NDArray[np.floating]) -> Pixels:
    """The control image of ink on white paper, uint8 (H, W, 3).

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
    """The way back, uint8 (H, W, 4) with straight alpha: ink that gives the same control image again."""
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


def sketch_control(sketch: Image.Image, scale: float, kind: str = SCRIBBLE) -> ControlInput:
    """A visitor's sketch as a control image, its inks and strokes found whichever way it was drawn.

    Kinds other than scribbles (edges, depth) have no colours: what is drawn reaches them white.
    """
    largest = max(sketch.size)
    shrink = min(1.0, LARGEST_READ / largest)
    size = (max(1, round(sketch.width * shrink)), max(1, round(sketch.height * shrink)))
    image = scribble_control(sketch, size)
    return ControlInput(image=image if kind == SCRIBBLE else white_strokes(image), kind=kind, scale=scale)


def separated(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """An opaque drawing (H, W, 3) in [0, 255] as inks (H, W, 3) on white paper and coverage (H, W) in [0, 1]."""
    paper = border_colour(pixels)
    if paper.mean() < DARK:
        # Turns lightness round and keeps the hue; linear, so that the soft edges of strokes stay right.
        pixels = pixels + 255 - pixels.max(-1, keepdims=True) - pixels.min(-1, keepdims=True)
        paper = border_colour(pixels)
    difference = np.abs(pixels - paper).max(-1)
    difference[difference < FAINTEST] = 0
    # A pale stroke covers its paper as much as a dark one does: full is what the nearest core of a stroke has.
    full = np.maximum(local_maximum(difference, EDGE), max(difference.max() / LARGEST_GAIN, FAINTEST))
    coverage = difference / full
    inks = paper + (pixels - paper) / np.maximum(coverage, 0.05)[..., None]
    inks = np.where(inks.min(-1, keepdims=True) > paper.max(), 0, inks)  # chalk on grey paper: a stroke without a colour
    return np.clip(inks * (255 / np.maximum(paper, 1)), 0, 255), coverage


def local_maximum(values: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """The largest of `values` (H, W) within `reach` pixels up, down and to the sides."""
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if axis == i else (0, 0) for i in (0, 1)])
        values = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis).max(-1)
    return values


def border_colour(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The usual colour of the outermost pixels of (H, W, 3): the paper, since strokes seldom cover the border."""
    edges = (pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1])
    median: NDArray[np.float32] = np.median(np.concatenate(edges), axis=0)
    return median


def is_blank(control: Pixels) -> bool:
    """True if a control image means no control."""
    return not control.any()


def _shrinks(old: tuple[int, int], new: tuple[int, int]) -> bool:
    return new[0] < old[0] or new[1] < old[1]


def _as_image(image: ImageLike) -> Image.Image:
    return image if isinstance(image, Image.Image) else Image.fromarray(image)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def on_white(image: Image.Image) -> Image.Image:
    """An opaque RGB image; what is transparent is white paper."""
    if not _has_alpha(image):
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def _at_most(image: Image.Image, side: int) -> Image.Image:
    """The image, shrunk if it is larger than `side`: photographs of drawings come with millions of pixels."""
    if max(image.size) <= side:
        return image
    smaller = image.convert("RGBA" if _has_alpha(image) else "RGB")
    smaller.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    return smaller


def _stretched(alpha: Pixels) -> NDArray[np.float32]:
    """Coverage in [0, 1], full where `alpha` (H, W) is strongest."""
    strongest = float(alpha.max())
    return alpha.astype(np.float32) / strongest if strongest >= FAINTEST else np.zeros(alpha.shape, np.float32)
