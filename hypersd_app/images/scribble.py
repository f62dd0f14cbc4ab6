"""Control pictures from drawings; `annotators` makes them from photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.images.ink import control_from_ink, white_strokes
from hypersd_app.requests import SCRIBBLE, ControlInput

Picture = Image.Image | NDArray[np.uint8]
Pixels = NDArray[np.uint8]

FAINTEST = 24.0  # less difference from the paper than this is noise of a scanner or of JPEG, not a stroke
LARGEST_GAIN = 3.0  # pale strokes gain so much beside the darkest; more would make strokes of a photograph's shadows
EDGE = 3  # how many pixels a stroke's soft edge is wide
DARK = 128.0
TRANSPARENT_SHARE = 0.2  # of a picture whose paper is transparent; cut-off corners of a scan are less
LARGEST_READ = 1024  # pixels a side


def scribble_control(picture: Picture, size: tuple[int, int]) -> Pixels:
    """What a scribble ControlNet reads of a drawing, uint8 (H, W, 3), see `models.ink`; `size` is (W, H).

    The one place that decides polarity. Ink on transparent paper is taken as it is. Else the border is paper, a stroke is
    whatever differs from it in lightness or colour, and pens on dark paper are read as on white: white is black, red is red.
    A picture without strokes becomes all black, which means no control.
    """
    image = _at_most(_as_image(picture), max(LARGEST_READ, *size))
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


def sketch_control(sketch: Image.Image, scale: float, kind: str = SCRIBBLE) -> ControlInput:
    """A visitor's sketch as a control picture, its inks and strokes found whichever way it was drawn.

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
    """True if a control picture means no control."""
    return not control.any()


def _shrinks(old: tuple[int, int], new: tuple[int, int]) -> bool:
    return new[0] < old[0] or new[1] < old[1]


def _as_image(picture: Picture) -> Image.Image:
    return picture if isinstance(picture, Image.Image) else Image.fromarray(picture)


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def on_white(image: Image.Image) -> Image.Image:
    """An opaque RGB picture; what is transparent is white paper."""
    if not _has_alpha(image):
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def _at_most(image: Image.Image, side: int) -> Image.Image:
    """The picture, shrunk if it is larger than `side`: photographs of drawings come with millions of pixels."""
    if max(image.size) <= side:
        return image
    smaller = image.convert("RGBA" if _has_alpha(image) else "RGB")
    smaller.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
    return smaller


def _stretched(alpha: Pixels) -> NDArray[np.float32]:
    """Coverage in [0, 1], full where `alpha` (H, W) is strongest."""
    strongest = float(alpha.max())
    return alpha.astype(np.float32) / strongest if strongest >= FAINTEST else np.zeros(alpha.shape, np.float32)
