"""Image files that come from outside: dimensions are read from the header and checked before a pixel is decoded."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import MARKER

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.exif import XMP_NAMES, orientation
from hypersd_app.images.png import SIGNATURE

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


# Pillow and libjpeg believe what a file says of itself: a directory of EXIF whose entries all claim the whole block is copied once
# for each, and a JPEG's pixels are gone over once for each of its scans, though one may be three bytes. So a file's parts are
# walked first, without Pillow. All in one file, as every stroke passes here.

LONGEST = 8 * 1024 * 1024  # bytes of one text or block, and of all compressed ones of a file
MOST_PARTS = 16_384  # chunks or segments of a file; a photograph in chunks of eight kilobytes has fewer
MOST_SCANS = 100  # of a progressive JPEG; encoders write about ten
EXIF, SEVERAL_IMAGES = b"Exif\0\0", b"MPF\0"
JPEG = b"\xff\xd8\xff"
START_OF_SCAN = 0xDA
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"eXIf")


class TooManyParts(ValueError):
    """A file that would take long to read, whatever it shows."""


@dataclass(frozen=True)
class Part:
    """A chunk or segment: its kind, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def is_webp(data: bytes) -> bool:
    """Whether a file begins as WebP does."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def png_chunks(data: bytes) -> Iterator[Part]:
    """Chunks up to the end; a file that is cut short ends early. Raises TooManyParts."""
    at = len(SIGNATURE)
    for _ in range(MOST_PARTS):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND" or at + 8 + length > len(data):
            return
        yield Part(kind, at + 8, at + 8 + length)
        at += length + 12
    raise TooManyParts("chunks")


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """Segments before the pixels, found as Pillow finds them. Raises TooManyParts."""
    at = 2
    for _ in range(MOST_PARTS):
        at = data.find(b"\xff", at)  # what stands between segments is passed over
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0xFF, 0x00):  # filling
            at += 1 if marker else 2
            continue
        handler = MARKER.get(0xFF00 | marker, (None, None, None))[2]
        if marker == START_OF_SCAN or 0xFF00 | marker not in MARKER:
            return
        at += 2
        if handler is not None:  # others have no length
            end = at + max(2, struct.unpack_from(">H", data, at)[0])
            yield Part(bytes([marker]), at + 2, end)
            at = end
    raise TooManyParts("segments")


def webp_chunks(data: bytes) -> Iterator[Part]:
    """Chunks of a WebP. Raises TooManyParts."""
    at = 12
    for _ in range(MOST_PARTS):
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        yield Part(kind, at + 8, at + 8 + length)
        at += 8 + length + length % 2
    raise TooManyParts("chunks")


def exif_block(data: bytes) -> bytes:
    """The first block of EXIF without its name, b"" without one. Raises TooManyParts."""
    if data.startswith(SIGNATURE):
        found = (part for part in png_chunks(data) if part.kind == b"eXIf")
    elif data.startswith(JPEG):
        found = (part for part in jpeg_segments(data) if part.kind == b"\xe1" and data.startswith(EXIF, part.start))
    elif is_webp(data):
        found = (part for part in webp_chunks(data) if part.kind == b"EXIF")
    else:
        return b""
    first = next(found, None)
    return b"" if first is None or first.end - first.start > LONGEST else data[first.start : first.end].removeprefix(EXIF)


def without_directories(data: bytes) -> bytes:
    """A JPEG in which Pillow finds no EXIF and no list of further images; other files as they are. Raises TooManyParts.

    The names of those segments are overwritten, so that everything stays where it is.
    """
    if data.startswith(SIGNATURE):
        for _part in png_chunks(data):
            pass
    if not data.startswith(JPEG):
        return data
    if data.count(b"\xff\xda") > MOST_SCANS:
        raise TooManyParts("scans")
    hidden = bytearray(data)
    for part in jpeg_segments(data):
        for name in (EXIF, SEVERAL_IMAGES):
            if data.startswith(name, part.start):
                hidden[part.start : part.start + len(name)] = bytes(len(name))
    return bytes(hidden)
