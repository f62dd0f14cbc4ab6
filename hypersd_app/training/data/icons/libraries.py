"""Opens icon sets by their keys, whatever they are made of."""

from __future__ import annotations

from pathlib import Path

from hypersd_app.training.data.icons.painted import PaintedLibrary
from hypersd_app.training.data.icons.sources import ICON_SETS, IconLibrary, IconSet, fetch_package


def load_libraries(folder: Path, set_keys: tuple[str, ...]) -> dict[str, IconLibrary]:
    """Fetch and open the named sets. Raises ModelUnavailable when a package cannot be had."""
    return {key: open_library(ICON_SETS[key], folder) for key in set_keys}


def open_library(icon_set: IconSet, folder: Path) -> IconLibrary:
    """One set's icons; a set that restyles another set's drawings opens that one."""
    if icon_set.packages:
        return PaintedLibrary(icon_set, folder)
    source = ICON_SETS[icon_set.drawn_from] if icon_set.drawn_from else icon_set
    return IconLibrary(icon_set, fetch_package(source.package, source.version, folder))
