"""Images as stickers: the ground cut away, larger, with a die-cut edge, as PNG, WebP or SVG, one or a pack of them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.scribble import border_colour, local_maximum

SIDES = (256, 2048)  # pixels
OUTLINES = (0.0, 0.1)  # width of the die-cut edge as a share of the side
PACK_SIDE, PACK_BYTES, MOST_IN_PACK = 512, 100_000, 60  # as messengers take stickers
NEAR, FAR = 14.0, 40.0  # from the ground's colour: up to here a pixel is ground, and what differs by less covers it in part
SOFT = 2  # pixels by which the edge reaches into the sticker
OPAQUE, BLEED = 0.9, 6  # from here a pixel's colour is its own; pixels that edges take their colours from afar
CRISP = 1.2  # how much an enlarged image is sharpened
SMOOTH, STEEP = 1.0, 2.5  # of a cut that is enlarged: its blur in pixels, and how steep it is made again
SVG_SIDE, SVG_COLOURS = 512, 28


def cut_out(image: Image.Image) -> Image.Image:
    """RGBA with the ground transparent: all that is like the border and reachable from it, with a soft edge.

    White inside of the drawing stays. An image that is transparent already is left as it is.
    """
    if image.mode == "RGBA" and np.asarray(image.getchannel("A")).min() < 255:
        return image
    pixels = np.asarray(image.convert("RGB")).astype(np.float32)
    ground = border_colour(pixels)
    distance = np.abs(pixels - ground).max(-1)
    outside = reachable(distance <= NEAR)
    edge = grown(outside, SOFT) & ~outside
    alpha = np.where(outside, 0.0, 1.0)
    # An edge covers its ground as much as it differs from it, against the nearest pixel that covers all of it.
    full = np.maximum(local_maximum(distance, SOFT + 1), FAR)
    alpha[edge] = np.clip(distance[edge] / full[edge], 0.0, 1.0)
    # An edge's own colour is that of what it is the edge of: a mixture with the ground would be seen as a fringe.
    colours = spread_colours(pixels, alpha > OPAQUE, BLEED)
    made = np.concatenate([np.clip(colours, 0, 255), 255 * alpha[..., None]], axis=-1)
    return Image.fromarray(made.round().astype(np.uint8), "RGBA")


def spread_colours(pixels: NDArray[np.float32], known: NDArray[np.bool_], reach: int) -> NDArray[np.float32]:
    """Pixels (H, W, 3) where only `known` colours stay, and those up to `reach` pixels away are the mean of known neighbours."""
    colours, known = np.where(known[..., None], pixels, 0).astype(np.float32), known.copy()
    for _ in range(reach):
        count, total = neighbours(known.astype(np.float32)), neighbours(colours)
        new = ~known & (count > 0)
        colours[new] = total[new] / count[new][..., None]
        known |= new
    return colours


def neighbours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of the places around each place of (H, W) or (H, W, channels)."""
    rows = values.copy()
    rows[1:] += values[:-1]
    rows[:-1] += values[1:]
    whole = rows.copy()
    whole[:, 1:] += rows[:, :-1]
    whole[:, :-1] += rows[:, 1:]
    return whole - values


def reachable(free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the `free` places (H, W) are connected with the border, over sides."""
    found = free.copy()
    found[1:-1, 1:-1] = False
    count = -1
    while (now := int(found.sum())) != count:
        count = now
        # Along each row and column as far as it is free: a winding way takes a few rounds, not one for each pixel.
        for _ in range(2):
            found = swept(found, free)
            found = swept(found[::-1], free[::-1])[::-1]
            found, free = found.T, free.T
    return found


def swept(found: NDArray[np.bool_], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is found, and all that is free below it without a gap."""
    rows = np.empty_like(found)
    above = np.zeros(found.shape[1], bool)
    for i in range(len(found)):
        above = free[i] & (found[i] | above)
        rows[i] = above
    return rows


def grown(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """A mask (H, W) and all places within `reach` sides of it."""
    for _ in range(reach):
        padded = np.pad(mask, 1)
        mask = padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return mask


def sticker(image: Image.Image, side: int, outline: float = 0.0) -> Image.Image:
    """An image cut out, `side` pixels on its longer side, with a white edge `outline` of the side wide. Raises InvalidRequest."""
    if isinstance(side, bool) or not isinstance(side, int) or not SIDES[0] <= side <= SIDES[1]:
        raise InvalidRequest("size", side, f"a whole number from {SIDES[0]} to {SIDES[1]}")
    if not OUTLINES[0] <= outline <= OUTLINES[1]:
        raise InvalidRequest("outline", outline, f"a number from {OUTLINES[0]:g} to {OUTLINES[1]:g}")
    made = resized(cut_out(image), side)
    return die_cut(made, round(outline * side)) if outline else made


def resized(image: Image.Image, side: int) -> Image.Image:
    """RGBA at another size. Enlarged images keep crisp edges; smaller ones are weighed by alpha."""
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if scale <= 1:
        return image.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    made = enlarged(image.convert("RGB"), size)
    # The cut is as fine as a pixel: enlarged it would be a staircase.
    cut = image.getchannel("A").filter(ImageFilter.GaussianBlur(SMOOTH)).resize(size, Image.Resampling.BICUBIC)
    made.putalpha(cut.point(lambda value: round(255 * min(1.0, max(0.0, 0.5 + STEEP * (value / 255 - 0.5))))))
    return made


def enlarged(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """RGB or grey at a larger size, sharpened without halos: no pixel leaves the range of those it stands among."""
    scale = size[0] / image.width
    smooth = image.resize(size, Image.Resampling.BICUBIC)
    blurred = smooth.filter(ImageFilter.GaussianBlur(0.7 * scale))
    low, high = (
        image.filter(each(3)).resize(size, Image.Resampling.BILINEAR) for each in (ImageFilter.MinFilter, ImageFilter.MaxFilter)
    )
    here, around, darkest, lightest = (np.asarray(each, np.float32) for each in (smooth, blurred, low, high))
    return Image.fromarray(np.clip(here + CRISP * (here - around), darkest, lightest).round().astype(np.uint8))


def die_cut(image: Image.Image, width: int) -> Image.Image:
    """RGBA with a white edge around all that is opaque, `width` pixels wide, rounded."""
    alpha = image.getchannel("A")
    room = Image.new("L", (image.width + 4 * width, image.height + 4 * width))
    room.paste(alpha, (2 * width, 2 * width))
    # Of a blurred shape the part above a small value reaches as far in every direction.
    spread = np.asarray(room.point(lambda value: 255 if value > 127 else 0).filter(ImageFilter.GaussianBlur(width / 2)), np.float32)
    edge = np.clip((spread - 5.8) * 0.5, 0, 1)  # 2.3 % of full: two deviations beyond a straight edge
    white = np.full((*edge.shape, 4), 255, np.uint8)
    white[..., 3] = (255 * edge).round()
    ground = Image.fromarray(white, "RGBA")
    ground.alpha_composite(image, (2 * width, 2 * width))
    return resized(ground, max(image.size))


def webp_under(image: Image.Image, most: int = PACK_BYTES) -> bytes:
    """WebP of at most `most` bytes, as good as that allows."""
    data = b""
    for quality in (90, 80, 65, 50, 35, 20, 5):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=4)
        data = buffer.getvalue()
        if len(data) <= most:
            break
    return data


def pack(images: Sequence[Image.Image], outline: float = 0.0) -> bytes:
    """A ZIP of stickers as messengers take them: WebP on 512x512 pixels, each under 100 KB. Raises InvalidRequest."""
    if not 1 <= len(images) <= MOST_IN_PACK:
        raise InvalidRequest("pictures", len(images), f"1 to {MOST_IN_PACK} images")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, image in enumerate(images, start=1):
            square = Image.new("RGBA", (PACK_SIDE, PACK_SIDE))
            made = sticker(image, PACK_SIDE, outline)
            square.paste(made, ((PACK_SIDE - made.width) // 2, (PACK_SIDE - made.height) // 2))
            archive.writestr(f"sticker-{number:02d}.webp", webp_under(square))
    return buffer.getvalue()


def svg(image: Image.Image) -> str:
    """The cut out image traced into flat shapes."""
    import vtracer

    cut = resized(cut_out(image), SVG_SIDE)
    flat = cut.convert("RGB").quantize(SVG_COLOURS, dither=Image.Dither.NONE).convert("RGB")
    flat.putalpha(cut.getchannel("A").point(lambda value: 255 if value > 127 else 0))
    values = [tuple(pixel) for pixel in np.asarray(flat).reshape(-1, 4).tolist()]
    traced: str = vtracer.convert_pixels_to_svg(
        values, cut.size, colormode="color", filter_speckle=4, color_precision=8, layer_difference=0, path_precision=1
    )
    width, height = cut.size
    return traced.replace("<svg ", f'<svg viewBox="0 0 {width} {height}" ', 1)  # or it could not be scaled
