"""What image files say of themselves before a pixel is decoded: read as Pillow reads it, and never at more cost than their size."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, JpegImagePlugin

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.exif import exif_values, orientation
from hypersd_app.images.files import TooManyParts, decode_image, exif_block, without_directories
from hypersd_app.images.png import chunk
from hypersd_app.server.http.png_recipes import read_recipe
from tests.support.bounded import bounded
from tests.support.recipe_files import png

FORMATS = ("PNG", "JPEG", "WEBP")
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'


def saved(kind: str = "JPEG", size: tuple[int, int] = (24, 16), **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("L", size, 255)
    image.putpixel((0, 0), 0)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def directory(entries: int, kind: int = 1, order: str = "<") -> bytes:
    """An EXIF block whose entries all claim to hold the whole block."""
    size = 10 + 12 * entries + 4
    count = (size - 8) // {1: 1, 3: 2}[kind]
    rows = b"".join(struct.pack(order + "HHLL", tag, kind, count, 8) for tag in range(1000, 1000 + entries))
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "LH", 8, entries) + rows + bytes(4)


def in_jpeg(*segments: bytes) -> bytes:
    """A JPEG with more segments at its beginning and no resolution of its own."""
    good = saved()
    return good[:2] + b"".join(segments) + good[2 + 18 :]  # without JFIF's segment


def in_webp(block: bytes) -> bytes:
    good = saved("WEBP", exif=b"Exif\0\0II*\0" + bytes(20))
    at = good.index(b"EXIF")
    body = good[12:at] + b"EXIF" + struct.pack("<L", len(block)) + block + bytes(len(block) % 2)
    return b"RIFF" + struct.pack("<L", len(body) + 4) + b"WEBP" + body


def many_scans(number: int) -> bytes:
    """A progressive JPEG of two thousand pixels a side whose last scan, of a few bytes, stands in it `number` times."""
    buffer = io.BytesIO()
    Image.new("L", (2000, 2000)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * number + data[-2:]


HARMFUL = {
    "a directory in a JPEG": in_jpeg(segment(0xE1, b"Exif\0\0" + directory(5000))),
    "a directory over several segments": in_jpeg(
        *(segment(0xE1, b"Exif\0\0" + directory(15_000)[i : i + 60_000]) for i in range(0, 180_000, 60_000))
    ),
    "a directory behind a marker without length": in_jpeg(b"\xff\xd0", segment(0xE1, b"Exif\0\0" + directory(5000))),
    "a list of images": in_jpeg(segment(0xE2, b"MPF\0" + directory(5000, kind=3))),
    "a directory in a PNG": png(chunk(b"eXIf", directory(60_000))),
    "a directory in a WebP": in_webp(directory(60_000)),
    "a directory of the other byte order": png(chunk(b"eXIf", directory(60_000, order=">"))),
    "scans": many_scans(2000),
    "chunks": png(*[chunk(b"abCd", b"")] * 150_000),
    "segments": in_jpeg(*[segment(0xE5, b"")] * 400_000),
    "pieces of EXIF": in_jpeg(*[segment(0xE1, b"Exif\0\0abcdefgh")] * 100_000),
    "zeros between segments": in_jpeg(bytes(2_000_000)),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_no_file_costs_more_than_its_size(name: str) -> None:
    told = bounded(decode_image, HARMFUL[name], "sketch", seconds=0.5, megabytes=40)
    assert isinstance(told, (Image.Image, InvalidRequest)), told
    told = bounded(read_recipe, HARMFUL[name], seconds=0.5, megabytes=40)
    assert isinstance(told, InvalidRequest), told


def test_too_many_scans_are_told() -> None:
    assert decode_image(many_scans(20), "sketch").size == (2000, 2000)
    with pytest.raises(InvalidRequest, match="too many scans"):
        decode_image(many_scans(200), "sketch")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("way", range(1, 9))
def test_an_image_is_set_upright_as_by_pillow(kind: str, way: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = way
    told = saved(kind, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(told))).convert("RGB")
    assert decode_image(told, "sketch").tobytes() == expected.tobytes()
    xmp = {"PNG": None, "JPEG": XMP.format(way).encode(), "WEBP": XMP.format(way).encode()}[kind]
    if xmp is not None:
        found = Image.open(io.BytesIO(saved(kind, xmp=xmp)))
        assert orientation(b"", found.info) == way


@pytest.mark.parametrize("order", ["<", ">"])
def test_fields_are_those_that_pillow_reads(order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010E], exif[0x0112], exif[0x0131] = "a long description", 6, "abc"
    block = exif.tobytes()[6:].replace(b"long", "éé".encode())
    read = Image.Exif()
    read.load(b"Exif\0\0" + block)
    assert exif_values(block, (0x010E, 0x0112, 0x0131)) == dict(read) and "Ã©" in read[0x010E]
    assert exif_values(block, (0x010F,)) == {} == exif_values(block[:20], (0x0131,)) == exif_values(b"what", (1,))


PIECES = st.sampled_from(
    [
        b"\xff",
        b"\xff\xe1",
        b"\xff\xe2",
        b"\xff\xd0",
        b"\xff\xc8",
        b"\xff\xfe",
        b"\0",
        b"\0\x10",
        b"Exif\0\0",
        b"MPF\0",
        b"\xff\x01",
        b"x",
    ]
)
PARTS = st.builds(
    segment, st.sampled_from([0xE1, 0xE2, 0xFE]), st.sampled_from([b"Exif\0\0II*\0", b"MPF\0II*\0", b"", b"\xff\xe1"])
)


@given(st.lists(PIECES | PARTS, max_size=12))
@settings(max_examples=200, deadline=None)
def test_pillow_finds_no_directory_whatever_stands_between_segments(pieces: list[bytes]) -> None:
    data = in_jpeg(*pieces)
    try:
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(without_directories(data)))
    except (SyntaxError, TooManyParts, OSError, ValueError, IndexError, struct.error):
        return
    assert "exif" not in image.info and "mp" not in image.info


@given(st.binary(max_size=200), st.sampled_from([saved(kind, exif=Image.Exif()) for kind in FORMATS]), st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_any_damage_is_read_or_refused(noise: bytes, good: bytes, at: int) -> None:
    for data in (good[:12] + noise, good[:at] + noise + good[at:], directory(5)[:at] + noise):
        assert isinstance(exif_block(data), bytes) and isinstance(exif_values(data, range(2000)), dict)
        try:
            decode_image(data, "sketch")
        except InvalidRequest as error:
            assert error.field == "sketch"
