"""Control pictures: what a ControlNet reads, from what a visitor drew or photographed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.catalog.guard import one_of
from hypersd_app.errors import ModelUnavailable

Picture = Image.Image | NDArray[np.uint8]
Pixels = NDArray[np.uint8]

FAINTEST = 24.0  # less difference from the paper than this is noise of a scanner or of JPEG, not a stroke
ANNOTATOR_WEIGHTS = "lllyasviel/Annotators"


@dataclass(frozen=True)
class Annotator:
    """A detector of controlnet-aux: its own module (importing the whole package loads them all) and its weights."""

    module: str
    class_name: str
    weights: str = ""
    arguments: tuple[tuple[str, Any], ...] = ()


ANNOTATORS: dict[str, Annotator] = {
    "canny": Annotator("controlnet_aux.canny", "CannyDetector"),
    "softedge": Annotator("controlnet_aux.hed", "HEDdetector", ANNOTATOR_WEIGHTS),
    "pidinet": Annotator("controlnet_aux.pidi", "PidiNetDetector", ANNOTATOR_WEIGHTS),
    "scribble": Annotator("controlnet_aux.hed", "HEDdetector", ANNOTATOR_WEIGHTS, (("scribble", True),)),
    "lineart": Annotator("controlnet_aux.lineart", "LineartDetector", ANNOTATOR_WEIGHTS),
    "depth": Annotator("controlnet_aux.midas", "MidasDetector", ANNOTATOR_WEIGHTS),
}


def scribble_control(picture: Picture, size: tuple[int, int]) -> Pixels:
    """White strokes on black, uint8 (H, W, 3), whichever way `picture` was drawn; `size` is (W, H).

    The one place that decides polarity: the border is paper, and a stroke is whatever differs from it, in lightness or
    colour. A picture without strokes becomes all black, which means no control.
    """
    pixels = np.asarray(_as_image(picture).convert("RGB"), dtype=np.float32)
    strokes = np.abs(pixels - border_colour(pixels)).max(axis=2)
    strongest = float(strokes.max())
    if strongest < FAINTEST:
        return np.zeros((size[1], size[0], 3), np.uint8)
    strokes = np.where(strokes < FAINTEST, 0, strokes * (255 / strongest))
    drawn = Image.fromarray(strokes.round().astype(np.uint8))
    if drawn.size != size:
        drawn = drawn.resize(size, Image.Resampling.BOX if _shrinks(drawn.size, size) else Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(drawn)[:, :, None], 3, axis=2)


def border_colour(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The usual colour of the outermost pixels of (H, W, 3): the paper, since strokes seldom cover the border."""
    edges = (pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1])
    return np.median(np.concatenate(edges), axis=0)


def is_blank(control: Pixels) -> bool:
    """True if a control picture means no control."""
    return not control.any()


def _shrinks(old: tuple[int, int], new: tuple[int, int]) -> bool:
    return new[0] < old[0] or new[1] < old[1]


def _as_image(picture: Picture) -> Image.Image:
    """An opaque picture; what is transparent is white paper."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    paper = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(paper, image).convert("RGB")


class ControlImages:
    """Annotators, each loaded when it is first asked for. `locate` finds the folder of a weights repository."""

    def __init__(self, locate: Callable[[str], str]) -> None:
        self._locate = locate
        self._detectors: dict[str, Any] = {}

    def annotate(self, kind: str, photograph: Image.Image, size: tuple[int, int]) -> Pixels:
        """A photograph as a control picture of `kind`, uint8 (H, W, 3). Raises InvalidRequest and ModelUnavailable."""
        one_of("control kind", kind, ANNOTATORS)
        detector = self._detector(kind)
        resolution = min(size)
        made = detector(
            _as_image(photograph).convert("RGB"),
            detect_resolution=resolution,
            image_resolution=resolution,
            output_type="pil",
            **dict(ANNOTATORS[kind].arguments),
        )
        return np.asarray(made.convert("RGB").resize(size, Image.Resampling.BILINEAR))

    def _detector(self, kind: str) -> Any:
        row = ANNOTATORS[kind]
        key = f"{row.module}.{row.class_name}"
        if key not in self._detectors:
            self._detectors[key] = self._load(row)
        return self._detectors[key]

    def _load(self, row: Annotator) -> Any:
        try:
            detector_class = getattr(importlib.import_module(row.module), row.class_name)
        except (ImportError, AttributeError) as error:
            raise ModelUnavailable(f"The package controlnet-aux with {row.class_name} is needed: {error}") from error
        return detector_class.from_pretrained(self._locate(row.weights)) if row.weights else detector_class()
