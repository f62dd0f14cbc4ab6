"""Files of a kind in a folder and below it: links are followed, each folder is read once, however links turn."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

MOST_FILES = 5000  # of one folder; more is a mistake, and would be read at every scan
Stamp = tuple[int, ...]  # another one when a file was replaced


def files_below(folder: Path, endings: tuple[str, ...], *, below: bool = True) -> list[Path]:
    """The files in `folder` whose names end so, in capitals too, sorted; `below` takes those of all folders in it."""
    found: list[Path] = []
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (here := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(folders) if below else []
        found += [Path(root, name) for name in names if name.lower().endswith(endings) and os.path.isfile(os.path.join(root, name))]
    if len(found) > MOST_FILES:
        logger.warning("%s holds %d files; only the first %d are read", folder, len(found), MOST_FILES)
    return sorted(found)[:MOST_FILES]


def stamp_of(path: Path) -> Stamp:
    """When a file was changed, its size and its number on the disk. Raises OSError."""
    found = path.stat()
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def write_whole(path: Path, text: str) -> None:
    """Write a file of ours in one rename, its folder too: no reader and no crash finds half of it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{threading.get_ident()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
