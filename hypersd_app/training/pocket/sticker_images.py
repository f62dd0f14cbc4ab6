"""Images for the sticker autoencoder: icons scaled, scattered, overlapped and tinted, never twice the same."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hypersd_app.training.data.dataset import ImageDataset

Pixels = NDArray[np.uint8]  # (S, S, 4), premultiplied RGB and alpha


@dataclass(frozen=True)
class StickerImages:
    """Draws images of one to four icons from a data set of large single drawings (`train data --preset icons`)."""

    icons: ImageDataset
    indices: NDArray[np.int64]

    def image(self, rng: np.random.Generator) -> Pixels:
        """One image, premultiplied (S, S, 4) uint8: half of the time a single icon, sometimes in other colours, mirrored."""
        side = self.icons.rgba.shape[1]
        canvas: Pixels = np.zeros((side, side, 4), np.uint8)
        count = 1 if rng.random() < 0.55 else int(rng.integers(2, 5))
        for _ in range(count):
            low, high = (0.6, 1.0) if count == 1 else (0.3, 0.75)
            size = int(side * rng.uniform(low, high))
            corner = rng.integers(-size // 6, side - size * 5 // 6, 2)
            paste(canvas, resized(self._icon(rng), size), int(corner[0]), int(corner[1]))
        if rng.random() < 0.3:
            canvas = tinted(canvas, rng.uniform(0, 1))
        return canvas[:, ::-1] if rng.random() < 0.5 else canvas

    def _icon(self, rng: np.random.Generator) -> Pixels:
        return premultiplied(np.asarray(self.icons.rgba[int(rng.choice(self.indices))]))

    def batch(self, rng: np.random.Generator, count: int) -> Pixels:
        """`count` whole images, (count, S, S, 4) as networks see them: RGB on white, and alpha."""
        return np.stack([seen(self.image(rng)) for _ in range(count)])

    def crops(self, rng: np.random.Generator, count: int) -> Pixels:
        """`count` crops of half the side, (count, S/2, S/2, 4); of two places in an image the livelier one is taken."""
        side = self.icons.rgba.shape[1] // 2
        crops: list[Pixels] = []
        while len(crops) < count:
            image = seen(self.image(rng))
            places = rng.integers(0, side // 16 + 1, (2, 2, 2)) * 16
            for pair in places:
                cut = [image[y : y + side, x : x + side] for y, x in pair]
                crops.append(max(cut, key=lambda crop: crop[::16, ::16].std()))
        return np.stack(crops[:count])


def premultiplied(on_white: Pixels) -> Pixels:
    """Premultiplied RGB and alpha of RGB on white and alpha, uint8 (..., 4)."""
    alpha = on_white[..., 3:].astype(np.int16)
    rgb = np.clip(on_white[..., :3].astype(np.int16) - (255 - alpha), 0, alpha)
    return np.concatenate([rgb, alpha], -1).astype(np.uint8)


def seen(image: Pixels) -> Pixels:
    """The inverse of `premultiplied`."""
    alpha = image[..., 3:]
    return np.concatenate([np.minimum(image[..., :3].astype(np.uint16) + (255 - alpha), 255).astype(np.uint8), alpha], -1)


def resized(image: Pixels, size: int) -> Pixels:
    """A premultiplied image at another size, without dark fringes."""
    whole = Image.frombuffer("RGBa", (image.shape[1], image.shape[0]), np.ascontiguousarray(image).tobytes(), "raw", "RGBa", 0, 1)
    drawn = np.asarray(whole.resize((size, size), Image.Resampling.BICUBIC))
    return np.minimum(drawn, drawn[..., 3:])  # sharpening may overshoot


def paste(canvas: Pixels, icon: Pixels, x: int, y: int) -> None:
    """Lay a premultiplied icon over a canvas with its corner at (x, y), in place; what lies outside is cut off."""
    height, width = icon.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + width, canvas.shape[1]), min(y + height, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    over = icon[y0 - y : y1 - y, x0 - x : x1 - x].astype(np.uint16)
    under = canvas[y0:y1, x0:x1].astype(np.uint16)
    canvas[y0:y1, x0:x1] = np.minimum(over + (under * (255 - over[..., 3:]) + 127) // 255, 255).astype(np.uint8)


def tinted(image: Pixels, turn: float) -> Pixels:
    """A premultiplied image with all hues turned by `turn` of the circle: a rotation of RGB about its grey axis."""
    red, green, blue = (np.array(colorsys.hsv_to_rgb(turn + third / 3, 1, 1)) for third in range(3))
    columns = np.stack([red, green, blue], 1).astype(np.float32)
    matrix = columns / columns.sum(1, keepdims=True)  # grey stays grey
    rgb = image[..., :3].astype(np.float32) @ matrix.T
    return np.concatenate([np.clip(rgb, 0, image[..., 3:]).astype(np.uint8), image[..., 3:]], -1)
