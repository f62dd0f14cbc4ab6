"""The style files of all folders: what is known of them at once, and the rest read behind it, with progress.

A name that two files have is numbered in the order of the folders; while files are still being read, those that are known have
the names.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypersd_app.catalog.files import Stamp, files_below, stamp_of
from hypersd_app.catalog.scanning.scan import SUFFIX, told_family, try_style
from hypersd_app.catalog.scanning.sidecars import Sidecar, read_sidecar
from hypersd_app.catalog.scanning.style_index import StyleIndex, key_of
from hypersd_app.catalog.specs import StyleSpec
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)

AT_ONCE = 100  # files that are read before anything is shown: that takes a second or two
SHOWN_EVERY = 1.0  # seconds
Rows = list[StyleSpec | None]


@dataclass(frozen=True)
class StyleFile:
    """One file with all that its row depends on."""

    path: Path
    stamp: Stamp
    family: str  # that its folder says
    beside: Sidecar


def style_files(folders: Iterable[Path], family: str = "") -> list[StyleFile]:
    """The style files of some folders, each folder's sorted by path, and what lies beside each."""
    found = []
    for folder in folders:
        for path in files_below(folder, (SUFFIX,)):
            try:
                found.append(StyleFile(path, stamp_of(path), family or told_family(folder, path), read_sidecar(path)))
            except OSError as error:
                logger.warning("style left out: %s", error)
    return found


class StyleLibrary:
    """Reads files once for each version of them. `shown` is called, from a thread, whenever more of them are known."""

    def __init__(self, index: StyleIndex) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._round = 0
        self._done, self._total = 0, 0
        self._idle = threading.Event()
        self._idle.set()

    @property
    def progress(self) -> tuple[int, int]:
        """(files read, files there are); equal if none is left to be read."""
        return self._done, self._total

    def wait(self, seconds: float) -> bool:
        """Until all files are read; False if that takes longer."""
        return self._idle.wait(seconds)

    def read(self, files: Sequence[StyleFile], shown: Callable[[list[StyleSpec]], None], *, behind: bool) -> list[StyleSpec]:
        """The rows of `files`; with `behind` and many unread ones those that are known, and `shown` for what comes later."""
        rows: Rows = [None] * len(files)
        unread = [number for number, file in enumerate(files) if not self._from_index(file, rows, number)]
        with self._lock:
            self._round += 1
            own = self._round
            self._done, self._total = len(files) - len(unread), len(files)
        self._index.keep_only([file.path for file in files])
        if behind and len(unread) > AT_ONCE:
            self._idle.clear()
            arguments = (own, files, rows, unread, shown)
            threading.Thread(target=self._read_rest, args=arguments, name="hypersd-styles", daemon=True).start()
        else:
            for number in unread:
                self._read_one(files[number], rows, number)
            self._done = self._total
            self._index.save()
            self._idle.set()
        return known(rows)

    def _from_index(self, file: StyleFile, rows: Rows, number: int) -> bool:
        """Whether a file was read before, its row put in place if it can be used."""
        try:
            rows[number] = self._index.get(file.path, file.stamp, file.family, file.beside)
        except ModelUnavailable as error:
            logger.debug("style left out: %s", error)
            return True
        return rows[number] is not None

    def _read_one(self, file: StyleFile, rows: Rows, number: int) -> None:
        found = try_style(file.path, file.family, file.beside)
        if found is None:
            return
        self._index.put(file.path, key_of(file.stamp, file.family, file.beside), found)
        if isinstance(found, StyleSpec):
            rows[number] = found

    def _read_rest(
        self, own: int, files: Sequence[StyleFile], rows: Rows, unread: list[int], shown: Callable[[list[StyleSpec]], None]
    ) -> None:
        last = time.monotonic()
        try:
            for number in unread:
                if own != self._round:
                    return  # the folders were looked at anew
                self._read_one(files[number], rows, number)
                self._done += 1
                if time.monotonic() - last > SHOWN_EVERY:
                    shown(known(rows))
                    last = time.monotonic()
            shown(known(rows))
            self._index.save()
        finally:
            if own == self._round:
                self._idle.set()


def known(rows: Rows) -> list[StyleSpec]:
    """Those that are there."""
    return [row for row in rows if row is not None]
