"""Init images: what a visitor paints on, fitted to the drawn size, and the way a painted image goes back into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.scribble import LARGEST_READ, Pixels, local_maximum, on_white
from hypersd_app.requests import InitImage

FEATHER = 32  # the soft edge around a mask is this part of the shorter side
OPAQUE = 255


@dataclass(frozen=True, eq=False)
class Canvas:
    """An init image at the drawn size: `image` uint8 (H, W, 3).

    `weights` says how much of each pixel is new, float32 (H, W, 1): 1 in the mask, less in the feather around it, exactly 0
    elsewhere. Without a mask it is None: everything is new.
    """

    image: Pixels
    weights: NDArray[np.float32] | None = None


def init_image(image: Image.Image, strength: float, mask: Image.Image | None = None) -> InitImage:
    """An init image from a visitor's images, both shrunk to at most 1024 pixels a side. Raises InvalidRequest.

    In a mask, white is made anew and black stays; one with transparency is made anew where something was painted.
    """
    if mask is not None and mask.size != image.size:
        size, wanted = (f"{each.width}x{each.height} pixels" for each in (mask, image))
        raise InvalidRequest("mask", size, f"the size of the image, {wanted}")
    image = _shrunk(on_white(image))
    covered = None if mask is None else np.asarray(_shrunk(_coverage(mask)))
    return InitImage(np.asarray(image), strength, covered)


def drawn_over(image: Image.Image, strength: float, ink: Image.Image | None, mask: Image.Image | None) -> InitImage:
    """An init image with strokes on it. `ink` and `mask` come from a page, which draws in the size of its model's images."""
    if ink is not None:
        strokes = ink.convert("RGBA").resize(image.size)
        image = Image.alpha_composite(on_white(image).convert("RGBA"), strokes).convert("RGB")
    return init_image(image, strength, None if mask is None else mask.resize(image.size))


def _coverage(mask: Image.Image) -> Image.Image:
    if mask.mode == "RGBA" and np.asarray(mask.getchannel("A")).min() < OPAQUE:
        return mask.getchannel("A")
    return mask.convert("L")


def _shrunk(image: Image.Image) -> Image.Image:
    if max(image.size) <= LARGEST_READ:
        return image
    scale = LARGEST_READ / max(image.size)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)


def canvas_of(init: InitImage, width: int, height: int) -> Canvas:
    """The init image at the drawn size: its middle, where the shape is another."""
    image = _fitted(init.image, (width, height), Image.Resampling.LANCZOS)
    if init.mask is None:
        return Canvas(image)
    return Canvas(image, feathered(_fitted(init.mask, (width, height), Image.Resampling.BOX)))


def _fitted(pixels: Pixels, size: tuple[int, int], resampling: Image.Resampling) -> Pixels:
    if pixels.shape[1::-1] == size:
        return pixels
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), size, resampling))


def feathered(mask: Pixels) -> NDArray[np.float32]:
    """A mask, uint8 (H, W), as weights, float32 (H, W, 1), that fall to exactly 0 within a feather around it."""
    reach = max(1, min(mask.shape) // FEATHER // 2)
    grown = local_maximum(mask.astype(np.float32), reach)
    padded = np.pad(grown, reach, mode="edge").round().astype(np.uint8)
    soft = np.asarray(Image.fromarray(padded).filter(ImageFilter.BoxBlur(reach)))[reach:-reach, reach:-reach]
    # The blur rounds: what is full stays full, and beyond its reach there is nothing.
    weights = np.where(local_maximum(grown, reach) > 0, soft, 0).astype(np.float32) / np.float32(OPAQUE)
    return weights[..., None]


def composite(image: Pixels, canvas: Canvas | None) -> Pixels:
    """The new image where the mask is, the old one elsewhere, bit for bit; a mixture in the feather. uint8 (H, W, 3)."""
    if canvas is None or canvas.weights is None:
        return image
    old = canvas.image.astype(np.float32)
    mixed = (old + canvas.weights * (image.astype(np.float32) - old)).round().astype(np.uint8)
    return np.where(canvas.weights > 0, mixed, canvas.image)
