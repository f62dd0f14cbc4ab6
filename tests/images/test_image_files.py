"""Images of every kind as sketches: a stroke stays where it is, whichever way in it takes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hypersd_app.engine.commands import open_image
from hypersd_app.errors import InvalidRequest
from hypersd_app.images.files import decode_image
from hypersd_app.images.scribble import scribble_control
from hypersd_app.server.http.wire import Message
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.server.service import lazy_request
from tests.support.bounded import bounded
from tests.support.recipe_files import png

SIZE = (400, 300)
STROKE = (30, 30, 110, 90)


def upright() -> Image.Image:
    """A thick dark line near the upper left corner, on white."""
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).line(STROKE, fill=(20, 20, 20), width=8)
    return image


def saved(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def turned() -> bytes:
    """As a phone writes it: lying on its side, and EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(upright().transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=95)


def wide_grey(brightest: int) -> bytes:
    """Grey of sixteen bits, the paper at `brightest`."""
    return saved(Image.fromarray((np.asarray(upright().convert("L"), np.float32) * (brightest / 255)).astype(np.uint16)))


def with_alpha(mode: str) -> bytes:
    """The stroke alone, on transparent paper."""
    grey = upright().convert("L")
    ink = Image.new("RGBA", SIZE)
    ink.paste((20, 20, 20, 255), mask=grey.point(lambda value: 255 - value))
    if mode == "P":
        palette = grey.point(lambda value: 1 if value < 128 else 0).convert("P")
        palette.putpalette([255, 255, 255, 20, 20, 20])
        return saved(palette, transparency=0)
    return saved(ink.convert(mode))


KINDS: dict[str, Callable[[], bytes]] = {
    "upright": lambda: saved(upright()),
    "turned": turned,
    "CMYK": lambda: saved(upright().convert("CMYK"), "JPEG", quality=95),
    "grey": lambda: saved(upright().convert("L")),
    "16-bit grey": lambda: wide_grey(65535),
    "dark 16-bit grey": lambda: wide_grey(20000),
    "16-bit grey of eight bits": lambda: wide_grey(255),
    "one bit": lambda: saved(upright().convert("1", dither=Image.Dither.NONE)),
    "palette": lambda: saved(upright().convert("P")),
    "transparent palette": lambda: with_alpha("P"),
    "alpha": lambda: with_alpha("RGBA"),
    "grey with alpha": lambda: with_alpha("LA"),
    "WebP": lambda: saved(upright(), "WEBP", lossless=True),
    "GIF": lambda: saved(upright(), "GIF"),
    "BMP": lambda: saved(upright(), "BMP"),
}


def stroke(control: np.ndarray) -> np.ndarray:
    """Where the stroke is, as its middle and its ends in shares of the sides."""
    rows, columns = np.nonzero(control.max(-1) > 100)
    height, width = control.shape[:2]
    ends = (columns.min(), columns.max(), columns.mean()), (rows.min(), rows.max(), rows.mean())
    return np.concatenate([np.array(ends[0]) / width, np.array(ends[1]) / height])


def at_the_board(data: bytes, _folder: Path) -> np.ndarray:
    request = lazy_request(Message(0, {"prompt": "a cat"}, data), BoardLimits())[0].build()
    assert request.control is not None
    return request.control.image


def at_the_api(data: bytes, _folder: Path) -> np.ndarray:
    return scribble_control(decode_image(data, "sketch", BoardLimits().sketch_pixels), (256, 256))


def on_the_command_line(data: bytes, folder: Path) -> np.ndarray:
    (folder / "sketch.jpg").write_bytes(data)  # by what it is, not by its name
    return scribble_control(open_image(folder / "sketch.jpg"), (256, 256))


@pytest.mark.parametrize("way", [at_the_board, at_the_api, on_the_command_line])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stroke_stays_where_it_is(kind: str, way: Callable[[bytes, Path], np.ndarray], tmp_path: Path) -> None:
    expected = stroke(scribble_control(upright(), (256, 256)))
    assert np.abs(stroke(way(KINDS[kind](), tmp_path)) - expected).max() < 0.02


@pytest.mark.parametrize("size", [(12_000, 12_000), (50_000, 50_000), (1, 2_000_000_000)])
def test_a_giant_image_is_not_decoded(size: tuple[int, int]) -> None:
    data = (
        png(size=(12_000, 12_000))
        if size == (12_000, 12_000)
        else png().replace((8).to_bytes(4) * 2, b"".join(n.to_bytes(4) for n in size))
    )
    told = bounded(decode_image, data, "sketch", 4_000_000, seconds=0.5, megabytes=50)
    assert isinstance(told, InvalidRequest) and told.field == "sketch"


def test_the_command_line_names_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    for path in (tmp_path / "x.png", tmp_path / "none.png", tmp_path):
        with pytest.raises(InvalidRequest, match="image"):
            open_image(path)
