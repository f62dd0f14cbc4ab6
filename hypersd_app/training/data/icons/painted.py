"""Monochrome icon packages, painted in the natural colour of what they show: stickers instead of black signs."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from hypersd_app.training.data.icons.sources import Icon, IconLibrary, IconSet, fetch_package

_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_FAINT = re.compile(r'(?:fill-)?opacity="0?\.[1-7]\d*"')
_ELEMENT = re.compile(r"<[a-z][^>]*>")
DARK, LIGHT = 0.38, 0.5  # how far lines are darkened and second surfaces lightened


def mixed(colour: str, other: str, share: float) -> str:
    """`share` of `other` in `colour`; "#rrggbb" all three."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(one + share * (two - one)):02x}" for one, two in pairs)


def glyph(body: str, colour: str) -> str:
    """One surface of the colour with a darker edge."""
    line = mixed(colour, "#000000", DARK)
    painted = body.replace("currentColor", colour)
    return f'<g stroke="{line}" stroke-width="1.2%" stroke-linejoin="round" paint-order="stroke">{painted}</g>'


def duotone(body: str, colour: str) -> str:
    """The faint surface in the colour, lines in a darker shade."""
    line = mixed(colour, "#000000", 0.6)

    def element(match: re.Match[str]) -> str:
        text = match.group(0)
        if not _FAINT.search(text):
            return text
        return re.sub(r' fill="currentColor"', "", _FAINT.sub(f'fill="{colour}"', text))

    return _ELEMENT.sub(element, body).replace("currentColor", line)


def twotone(body: str, colour: str) -> str:
    """A solid surface in the colour, the faint one in a lighter shade."""
    light = mixed(colour, "#ffffff", LIGHT)

    def element(match: re.Match[str]) -> str:
        text = match.group(0)
        if not _FAINT.search(text):
            return text
        return re.sub(r' fill="currentColor"', "", _FAINT.sub(f'fill="{light}"', text))

    return _ELEMENT.sub(element, body).replace("currentColor", colour)


def _shade(colour: str, digits: str) -> str:
    """The shade of `colour` that is as light or dark as the paint it replaces; black and white stay."""
    wide = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    _, lightness, saturation = colorsys.rgb_to_hls(*(int(wide[i : i + 2], 16) / 255 for i in (0, 2, 4)))
    if saturation < 0.1:
        return f"#{wide}"
    if lightness > 0.6:
        return mixed(colour, "#ffffff", 0.3 if lightness < 0.85 else 0.75)
    return mixed(colour, "#000000", 0.35) if lightness < 0.5 else colour


def tones(body: str, colour: str) -> str:
    """Every coloured surface in a shade of the colour."""
    return _HEX.sub(lambda match: _shade(colour, match.group(1)), body)


def park(body: str, colour: str) -> str:
    """Black lines stay, the one blue becomes the colour."""
    body = re.sub("#2f88ff", colour, body, flags=re.IGNORECASE)
    return re.sub("#43ccf8", mixed(colour, "#ffffff", LIGHT), body, flags=re.IGNORECASE)


def as_drawn(body: str, colour: str) -> str:
    """Packages that have colours keep them."""
    return body


@dataclass(frozen=True)
class Package:
    """One npm package of icons, how its icons are painted, and what its names end in."""

    package: str
    version: str
    _: KW_ONLY
    licence: str
    author: str
    paint: Callable[[str, str], str]
    suffix: str = ""


PACKAGES: dict[str, Package] = {
    "ult": Package("@iconify-json/streamline-ultimate-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=as_drawn),
    "kam": Package("@iconify-json/streamline-kameleon-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=as_drawn),
    "stick": Package("@iconify-json/streamline-stickies-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=as_drawn),
    "sl": Package("@iconify-json/streamline-emojis", "1.2.4", licence="CC-BY-4.0", author="Streamline", paint=as_drawn),
    "fc": Package("@iconify-json/flat-color-icons", "1.2.3", licence="MIT", author="Icons8", paint=as_drawn),
    "flc": Package("@iconify-json/fluent-color", "1.2.21", licence="MIT", author="Microsoft Corporation", paint=as_drawn),
    "plump": Package("@iconify-json/streamline-plump-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=tones),
    "flex": Package("@iconify-json/streamline-flex-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=tones),
    "sc": Package("@iconify-json/streamline-color", "1.2.2", licence="CC-BY-4.0", author="Streamline", paint=tones),
    "park": Package("@iconify-json/icon-park", "1.2.4", licence="Apache-2.0", author="ByteDance", paint=park),
    "ph": Package("@iconify-json/ph", "1.2.2", licence="MIT", author="Phosphor Icons", paint=duotone, suffix="-duotone"),
    "solar": Package(
        "@iconify-json/solar", "1.2.13", licence="CC-BY-4.0", author="480 Design", paint=twotone, suffix="-bold-duotone"
    ),
    "mdi": Package("@iconify-json/mdi", "1.2.3", licence="Apache-2.0", author="Pictogrammers", paint=glyph),
    "tem": Package("@iconify-json/temaki", "1.2.6", licence="CC0-1.0", author="Bryan Housel", paint=glyph),
    "game": Package("@iconify-json/game-icons", "1.2.4", licence="CC-BY-3.0", author="GameIcons", paint=glyph),
    "hi": Package("@iconify-json/healthicons", "1.2.13", licence="MIT", author="Resolve to Save Lives", paint=glyph),
    "tab": Package("@iconify-json/tabler", "1.2.41", licence="MIT", author="Paweł Kuna", paint=glyph, suffix="-filled"),
}


class PaintedLibrary(IconLibrary):
    """Icons gathered from several packages. An icon is named `package:icon#rrggbb`, with the colour it is painted in."""

    def __init__(self, icon_set: IconSet, folder: Path) -> None:
        self.icon_set = icon_set
        self.name_of_hexcode = {}
        rows = {key: PACKAGES[key] for key in icon_set.packages}
        self._packages = {key: IconLibrary(icon_set, fetch_package(row.package, row.version, folder)) for key, row in rows.items()}

    def icon(self, name: str) -> Icon:
        """Read and paint one icon; raises KeyError when there is none of that name."""
        path, _, digits = name.partition("#")
        key, _, own = path.partition(":")
        found = self._packages[key].icon(own + PACKAGES[key].suffix)
        return Icon(self.icon_set.key, name, PACKAGES[key].paint(found.body, f"#{digits}"), found.width, found.height)

    def has(self, package: str, icon: str) -> bool:
        """Whether one of its packages has the icon (by its name without the package's suffix)."""
        return package in self._packages and self._packages[package].has_icon(icon + PACKAGES[package].suffix)

    def find(self, hexcode: str, names: tuple[str, ...]) -> str | None:
        """`package:icon` of the first package that has an icon of one of the names, unpainted."""
        for key, library in self._packages.items():
            for name in names:
                icon = name.lower().replace(" ", "-")
                if library.has_icon(icon + PACKAGES[key].suffix):
                    return f"{key}:{icon}"
        return None
