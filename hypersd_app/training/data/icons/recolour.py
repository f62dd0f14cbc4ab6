"""Named colours: finds a drawing's main colour and changes it to another."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_LIGHTEST = 0.72  # of a paint on white
_HUE_REACH = 50.0  # degrees around the main hue that change together: shades of one surface


@dataclass(frozen=True)
class Paint:
    """How a named colour is made from a shade: hue in degrees, factors for saturation, `lift + scale * lightness`."""

    hue: float
    saturation: float
    scale: float
    lift: float


PAINTS: dict[str, Paint] = {
    "red": Paint(356, 1.1, 0.9, 0.0),
    "orange": Paint(28, 1.2, 0.9, 0.08),
    "yellow": Paint(48, 1.2, 0.8, 0.16),
    "green": Paint(125, 0.9, 0.85, 0.0),
    "blue": Paint(212, 1.05, 0.9, 0.02),
    "purple": Paint(276, 0.9, 0.9, 0.02),
    "pink": Paint(335, 1.0, 0.55, 0.42),
    "brown": Paint(22, 0.55, 0.65, 0.0),
    "black": Paint(220, 0.08, 0.38, 0.0),
    "white": Paint(215, 0.15, 0.25, 0.74),
    "gray": Paint(215, 0.06, 0.75, 0.12),
}


@dataclass(frozen=True)
class MainColour:
    """The colour that covers most of a drawing: its name, its hue in degrees, the share of opaque pixels it covers."""

    name: str
    hue: float
    share: float
    paint: str = "#808890"  # its middle shade


def _hue_saturation_value(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    high, low = rgb.max(-1), rgb.min(-1)
    spread = np.maximum(high - low, 1e-6)
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(high == r, (g - b) / spread % 6, np.where(high == g, (b - r) / spread + 2, (r - g) / spread + 4)) * 60
    return hue, (high - low) / np.maximum(high, 1e-6), high


def main_colour(rgba: NDArray[np.uint8]) -> MainColour | None:
    """Name the colour of most opaque pixels of an (H, W, 4) drawing; None when it is empty."""
    flat = rgba.reshape(-1, 4)
    pixels = (flat[flat[:, 3] > 127, :3] / 255).astype(np.float32)
    if len(pixels) < 20:
        return None
    hue, saturation, value = _hue_saturation_value(pixels)
    names = np.full(len(pixels), "", dtype="<U6")
    chromatic = (saturation > 0.25) & (value > 0.22)
    for name, low, high in (("red", -16, 14), ("orange", 14, 38), ("yellow", 38, 68), ("green", 68, 165),
                            ("blue", 165, 255), ("purple", 255, 300), ("pink", 300, 344)):  # fmt: skip
        inside = ((hue - low) % 360) < (high - low)
        names[chromatic & inside] = name
    names[chromatic & (hue > 5) & (hue < 45) & (value < 0.68)] = "brown"
    names[chromatic & ((hue < 14) | (hue > 330)) & (saturation < 0.55) & (value > 0.75)] = "pink"
    names[~chromatic & (value <= 0.35)] = "black"
    names[~chromatic & (value > 0.35)] = "gray"
    names[~chromatic & (value > 0.85)] = "white"
    values, counts = np.unique(names, return_counts=True)
    name = str(values[counts.argmax()])
    angles = np.deg2rad(hue[names == name])
    centre = float(np.rad2deg(np.arctan2(np.sin(angles).mean(), np.cos(angles).mean())) % 360)
    red, green, blue = (round(255 * float(channel)) for channel in np.median(pixels[names == name], axis=0))
    return MainColour(name, centre, float(counts.max() / len(pixels)), f"#{red:02x}{green:02x}{blue:02x}")


def _repaint(colour: str, hue: float, paint: Paint) -> str:
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    red, green, blue = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    h, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    offset = (h * 360 - hue + 180) % 360 - 180
    if saturation < 0.12 or abs(offset) > _HUE_REACH:
        return f"#{colour}"
    new_lightness = min(1.0, paint.lift + paint.scale * lightness)
    new_saturation = min(1.0, saturation * paint.saturation)
    rgb = colorsys.hls_to_rgb(((paint.hue + offset * 0.3) % 360) / 360, new_lightness, new_saturation)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in rgb)


def visible(paint: str) -> str:
    """A paint that is visible on white: very light ones are darkened to a light grey of their hue. "#rrggbb" both."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(int(paint[i : i + 2], 16) / 255 for i in (1, 3, 5)))
    rgb = colorsys.hls_to_rgb(hue, min(lightness, _LIGHTEST), saturation * min(1.0, _LIGHTEST / max(lightness, 1e-6)))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in rgb)


def recolour(body: str, hue: float, colour: str) -> str:
    """Give every shade near `hue` (degrees) of an SVG body the named colour, keeping light and shadow."""
    paint = PAINTS[colour]
    return _HEX.sub(lambda match: _repaint(match.group(1), hue, paint), body)
