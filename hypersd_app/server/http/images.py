"""Pictures that come from outside: dimensions are read from the header and checked before a pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image, ImageOps

from hypersd_app.errors import InvalidRequest

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def open_picture(source: bytes | str | Path, field: str, max_pixels: int) -> Image.Image:
    """Decode an untrusted picture: upright, RGB or RGBA. Raises InvalidRequest naming `field`.

    Paths are read whole; callers bound the size of uploads.
    """
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    if not data:
        raise InvalidRequest(field, "an empty file", "a picture (PNG, JPEG, WebP, GIF or BMP)")
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb check warns here; ours below is stricter and names the field.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(picture.size, field, max_pixels)
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        return upright.convert("RGBA" if "transparency" in upright.info or upright.mode in ("RGBA", "LA", "PA") else "RGB")
    except InvalidRequest:
        raise
    except Image.DecompressionBombError:
        raise InvalidRequest(field, "a giant picture", f"at most {max_pixels / 1e6:.0f} megapixels") from None
    except Exception:  # noqa: BLE001 - a broken file makes Pillow's readers run into anything: IndexError, struct.error ...
        raise InvalidRequest(field, "a file that is no readable picture", "PNG, JPEG, WebP, GIF or BMP") from None


def check_size(size: tuple[int, int], field: str, max_pixels: int) -> None:
    """Raise InvalidRequest when a picture has more than `max_pixels` or no area."""
    width, height = size
    if width * height > max_pixels or width < 1 or height < 1:
        shown = f"{width}x{height} ({width * height / 1e6:.1f} megapixels)"
        raise InvalidRequest(field, shown, f"at most {max_pixels / 1e6:.0f} megapixels")


def encode_jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """JPEG bytes for the way down; the fastest of the browser's formats to encode here."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
