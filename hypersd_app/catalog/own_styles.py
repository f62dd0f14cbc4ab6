"""Style files that one visitor brought: no list shows them, and who uses one has to know its unguessable name."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from hypersd_app.catalog.scanning.scan import SUFFIX, try_style
from hypersd_app.catalog.scanning.sidecars import NOTHING
from hypersd_app.catalog.specs import StyleSpec
from hypersd_app.errors import InvalidRequest

NAME = re.compile(r"own-[0-9a-f]{32}")


def new_name() -> str:
    """A name that nobody guesses."""
    return f"own-{secrets.token_hex(16)}"


def is_own(name: str) -> bool:
    """Whether a style is a visitor's own."""
    return NAME.fullmatch(name) is not None


def own_folder(cache: Path) -> Path:
    """Where they lie, for the process of the page and the one that draws."""
    return cache / "visitors"


def own_path(folder: Path, name: str) -> Path:
    """The file of one."""
    assert is_own(name)
    return folder / f"{name}{SUFFIX}"


def own_style(cache: Path, name: str, family: str) -> StyleSpec:
    """The row of one that is for a family. Raises InvalidRequest if there is none."""
    path = own_path(own_folder(cache), name)
    found = try_style(path, family, NOTHING) if path.is_file() else None
    if not isinstance(found, StyleSpec) or found.family != family:
        raise InvalidRequest("style", name, "one that is still here: own files are kept for a while only")
    return found
