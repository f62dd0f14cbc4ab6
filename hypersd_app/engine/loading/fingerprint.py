"""What local files look like from outside, so that one replaced on disk is loaded anew and never mixed with its predecessor."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISREG

from hypersd_app.catalog.specs import WeightSource

# Name, nanoseconds of the last change, bytes and number on the disk of each file: files that are unpacked with their old times
# differ in the last alone.
Fingerprint = tuple[tuple[str, int, int, int], ...]
TOP = ("",)
SETTLED = 2_000_000_000  # nanoseconds after which a folder's next change is sure to get another time
MOST_LISTED = 1000

_listed: dict[str, tuple[tuple[int, int], tuple[str, ...]]] = {}


def stamp(source: WeightSource | None, components: Iterable[str] = TOP) -> Fingerprint:
    """The stamp of a local file, or of the files directly in `components` of a folder, "" being its top; () for the Hub.

    It costs a `stat` a file: about twenty microseconds for a component's folder. What is not there has no stamp.
    """
    if source is None or source.path is None:
        return ()
    if source.path.suffix.lower() == ".safetensors":
        return file_stamp(source.path)
    return tuple(row for component in components for row in _folder_stamp(os.path.join(source.path, component)))


def file_stamp(path: Path | str) -> Fingerprint:
    """The stamp of one file, () if it is gone or none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return ((os.path.basename(path), found.st_mtime_ns, found.st_size, found.st_ino),) if S_ISREG(found.st_mode) else ()


def _folder_stamp(folder: str) -> Fingerprint:
    try:
        names = _names(folder)
    except OSError:
        return ()
    return tuple(row for name in names for row in file_stamp(f"{folder}/{name}"))


def _names(folder: str) -> tuple[str, ...]:
    """What is in a folder, read again only when that has changed: looking at its time takes a fifth as long."""
    found = os.stat(folder)
    version = (found.st_mtime_ns, found.st_ino)
    known = _listed.get(folder)
    if known is not None and known[0] == version:
        return known[1]
    names = tuple(sorted(os.listdir(folder)))
    # A change so soon after the last might leave the time as it is.
    if time.time_ns() - found.st_mtime_ns > SETTLED:
        if len(_listed) >= MOST_LISTED:
            _listed.clear()
        _listed[folder] = version, names
    return names
