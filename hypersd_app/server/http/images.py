"""Images on their way to and from visitors."""

from __future__ import annotations

import io

from PIL import Image

from hypersd_app.images.files import check_size, open_picture

__all__ = ["check_size", "encode_jpeg", "open_picture"]


def encode_jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """JPEG bytes for the way down; the fastest of the browser's formats to encode here."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
