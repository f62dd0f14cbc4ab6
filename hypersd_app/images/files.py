"""Image files that come from outside: dimensions are read from the header and checked before a pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.containers import TooManyParts, exif_block, without_directories
from hypersd_app.images.exif import XMP_NAMES, orientation

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
SPOKEN = "PNG, JPEG, WebP, GIF or BMP"
MOST_PIXELS = 25_000_000  # of an image on the command line and of an upload
LARGEST_FILE = 64 * 1024 * 1024  # bytes
TURNS = dict(enumerate(
    ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"), 2
))  # what sets an image upright that lies as EXIF numbers it; 1 is upright  # fmt: skip
WIDE_GREY = ("I", "F")  # and I;16 in its byte orders: grey of more than eight bits


def decode_image(source: bytes | str | Path, field: str, max_pixels: int = MOST_PIXELS) -> Image.Image:
    """Decode an untrusted image: upright, RGB or RGBA, eight bits a channel. Raises InvalidRequest naming `field`."""
    data = source if isinstance(source, bytes) else _read(Path(source), field)
    if not data:
        raise InvalidRequest(field, "an empty file", f"an image ({SPOKEN})")
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb check warns here; ours below is stricter and names the field.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(without_directories(data)), formats=FORMATS)
        check_size(image.size, field, max_pixels)
        image.load()
        block = exif_block(data)
        told = block or not XMP_NAMES.isdisjoint(image.info)
        return plain_image(upright(image, orientation(block, image.info) if told else 1))
    except InvalidRequest:
        raise
    except TooManyParts as error:
        raise InvalidRequest(field, f"a file of too many {error}", SPOKEN) from None
    except Image.DecompressionBombError:
        raise InvalidRequest(field, "a giant image", f"at most {max_pixels / 1e6:.0f} megapixels") from None
    except Exception:  # noqa: BLE001 - a broken file makes Pillow's readers run into anything: IndexError, struct.error ...
        raise InvalidRequest(field, "a file that is no readable image", SPOKEN) from None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """An image that lies as EXIF numbers it, set upright. Pillow would read all of the file's EXIF for that, and write it anew."""
    image.info.pop("exif", None)
    return image.transpose(Image.Transpose[TURNS[orientation]]) if orientation in TURNS else image


def plain_image(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something may be transparent; grey of 16 bits is scaled, where Pillow would cut it off at 255."""
    if image.mode.startswith(WIDE_GREY):
        return Image.fromarray(_eight_bits(np.asarray(image, np.float32))).convert("RGB")
    return image.convert("RGBA" if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa") else "RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """Grey (H, W) of 16 bits as uint8; what is no brighter than eight bits can say is taken for eight bits."""
    return np.clip(grey / 257 if grey.max() > 255 else grey, 0, 255).round().astype(np.uint8)


def _read(path: Path, field: str) -> bytes:
    """A whole file. Raises InvalidRequest for one that is missing or too large."""
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InvalidRequest(field, f"{size / 1e6:.0f} MB", f"at most {LARGEST_FILE / 1e6:.0f} MB")
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(field, path.name, f"a readable image file ({error.strerror})") from None


def check_size(size: tuple[int, int], field: str, max_pixels: int) -> None:
    """Raise InvalidRequest when an image has more than `max_pixels` or no area."""
    width, height = size
    if width * height > max_pixels or width < 1 or height < 1:
        shown = f"{width}x{height} ({width * height / 1e6:.1f} megapixels)"
        raise InvalidRequest(field, shown, f"at most {max_pixels / 1e6:.0f} megapixels")


def encode_jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """JPEG bytes for the way down; the fastest of the browser's formats to encode here."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
