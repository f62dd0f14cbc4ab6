"""The parts of an image file, walked without Pillow: where its texts are, and whether reading it costs more than it should.

Pillow and libjpeg believe what a file says of itself: a directory of EXIF whose entries all claim the whole block is copied once
for each, and a JPEG's pixels are gone over once for each of its scans, though one may be three bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL.JpegImagePlugin import MARKER

from hypersd_app.images.png import SIGNATURE

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
