"""A folder of files that can be made again, kept below a size: what was not used for longest goes first."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)


def touch(paths: Iterable[Path]) -> None:
    """Note that files are in use: many disks do not keep when a file was last read."""
    for path in paths:
        with suppress(OSError):
            os.utime(path)


def prune(folder: Path, most: int) -> None:
    """Delete files in `folder` and below until they take `most` bytes at most; those of one name go together, the newest stay."""
    groups: dict[Path, list[Path]] = {}
    with suppress(OSError):  # another program may be tidying up too
        for path in folder.rglob("*"):
            if path.is_file():
                groups.setdefault(path.with_suffix(""), []).append(path)
    sizes = {name: sum(map(_size, paths)) for name, paths in groups.items()}
    total = sum(sizes.values())
    for name in sorted(groups, key=lambda name: max(map(_used, groups[name])))[:-1]:
        if total <= most:
            return
        logger.info("%s is deleted to make room; it is made again when it is needed", name.name)
        for path in groups[name]:
            with suppress(OSError):
                path.unlink()
        total -= sizes[name]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _used(path: Path) -> float:
    try:
        found = path.stat()
    except OSError:
        return 0.0
    return max(found.st_atime, found.st_mtime)
