"""Hashes of model files, by which recipes of other programs name them; computed once for each version of a file, and kept.

AutoV2 and A1111's `Model hash` are the first digits of a whole file's SHA-256, `Lora hashes` those of its tensors alone.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from hypersd_app.catalog.files import Stamp, stamp_of, write_whole
from hypersd_app.catalog.specs import SHORTEST_HASH

logger = logging.getLogger(__name__)

NAME = "hashes.json"
CHUNK = 4 * 1024 * 1024  # bytes
LARGEST_BOOK = 64 * 1024 * 1024
RESTING = 3.0  # times as long as reading takes: whoever draws has the disk and the processor first
SAVED_EVERY = 30.0  # seconds
Hashes = tuple[str, ...]


def file_hashes(path: Path, resting: float = 0.0, stopped: Callable[[], bool] = lambda: False) -> Hashes:
    """SHA-256 of a file, and of its tensors without the header, in hexadecimal; () if `stopped` says so. Raises OSError."""
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(8)
        (length,) = struct.unpack("<Q", start) if len(start) == 8 else (0,)
        whole.update(start)
        skipped = length
        while chunk := file.read(CHUNK):
            began = time.perf_counter()
            whole.update(chunk)
            tensors.update(chunk[skipped:])
            skipped = max(0, skipped - len(chunk))
            if stopped():
                return ()
            time.sleep(resting * (time.perf_counter() - began))
    return whole.hexdigest(), tensors.hexdigest()


class HashBook:
    """Hashes by path, on disk in `folder`. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[list[int], list[str]]] = {}
        try:
            if self._path.stat().st_size <= LARGEST_BOOK:
                found = json.loads(self._path.read_text(encoding="utf-8"))
                self._rows = {
                    str(path): ([int(n) for n in stamp], [str(code) for code in codes]) for path, (stamp, codes) in found.items()
                }
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._rows = {}  # not there yet, or damaged: all are computed again

    def get(self, path: Path, stamp: Stamp) -> Hashes:
        """Those of this version of a file, () while they are not known."""
        with self._lock:
            row = self._rows.get(str(path))
        return tuple(row[1]) if row is not None and row[0] == list(stamp) else ()

    def known(self, path: Path) -> Hashes:
        """Those of a file as it is now, () while they are not known, or it is gone."""
        try:
            return self.get(path, stamp_of(path)) if str(path) in self._rows else ()
        except OSError:
            return ()

    def compute(self, paths: Iterable[Path], stopped: Callable[[], bool], resting: float = RESTING) -> int:
        """Hash the files that are not known yet, one after another; says how many those were."""
        count, saved = 0, time.monotonic()
        for path in paths:
            try:
                stamp = stamp_of(path)
                if self.get(path, stamp):
                    continue
                codes = file_hashes(path, resting, stopped)
            except OSError:
                continue
            if stopped():
                break
            with self._lock:
                self._rows[str(path)] = (list(stamp), list(codes))
            count += 1
            if time.monotonic() - saved > SAVED_EVERY:
                self.save()
                saved = time.monotonic()
        if count:
            self.save()
        return count

    def save(self) -> None:
        """Write them, in one rename."""
        with self._lock:
            text = json.dumps(self._rows)
        try:
            write_whole(self._path, text)
        except OSError as error:
            logger.warning("hashes of model files are not kept: %s", error)


def told_hashes(code: str) -> Hashes:
    """The hash of its tensors that a style file's own metadata say, () for anything that is none."""
    good = SHORTEST_HASH <= len(code) <= 64 and all(letter in "0123456789abcdef" for letter in code.lower())
    return (code.lower(),) if good else ()


class FileHasher:
    """A thread that hashes files once the folders are read; a later start takes its place."""

    def __init__(self, book: HashBook) -> None:
        self._book = book
        self._round = 0
        self._thread: threading.Thread | None = None

    def start(self, paths: list[Path], ready: Callable[[float], bool]) -> None:
        """Hash what is not known of `paths` once `ready` says that the disk is free."""
        self._round += 1
        own = self._round

        def run() -> None:
            while not ready(1.0):
                if own != self._round:
                    return
            count = self._book.compute(paths, lambda: own != self._round)
            logger.debug("hashed %d model files", count)

        self._thread = threading.Thread(target=run, name="hypersd-hashes", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Until the last start's files are hashed."""
        if self._thread is not None:
            self._thread.join(seconds)
