"""What local files look like from outside, so that one replaced on disk is loaded anew and never mixed with its predecessor."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hypersd_app.catalog.rows import WeightSource

# Name, nanoseconds of the last change, bytes and number on the disk of each file: files that are unpacked with their old times
# differ in the last alone.
Stamp = tuple[tuple[str, int, int, int], ...]
TOP = ("",)


def stamp(source: WeightSource | None, components: Iterable[str] = TOP) -> Stamp:
    """The stamp of a local file, or of the files directly in `components` of a folder, "" being its top; () for the Hub.

    It costs a `stat` a file: about twenty microseconds for a component's folder. What is not there has no stamp.
    """
    if source is None or source.path is None:
        return ()
    if source.path.suffix == ".safetensors":
        return file_stamp(source.path)
    return tuple(row for component in components for row in _folder_stamp(source.path / component))


def file_stamp(path: Path) -> Stamp:
    """The stamp of one file, () if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (_row(path.name, found),)


def _row(name: str, found: os.stat_result) -> tuple[str, int, int, int]:
    return name, found.st_mtime_ns, found.st_size, found.st_ino


def _folder_stamp(folder: Path) -> Stamp:
    try:
        with os.scandir(folder) as entries:
            return tuple(sorted(_row(entry.name, entry.stat()) for entry in entries if entry.is_file()))
    except OSError:
        return ()
