"""Style files of visitors: who brought one draws with it, for a while; nobody else, and it stands in no list."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hypersd_app.catalog.lora.check import check_lora
from hypersd_app.catalog.lora.numbers import require_numbers
from hypersd_app.catalog.own_styles import is_own, new_name, own_path
from hypersd_app.catalog.scanning.scan import SUFFIX, read_style
from hypersd_app.catalog.specs import ModelSpec, StyleSpec
from hypersd_app.errors import InvalidRequest, ModelUnavailable, Overloaded
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.scheduling.limits import BoardLimits

logger = logging.getLogger(__name__)

SHORTEST_KEY = 20  # characters; a page makes one of 32
LONGEST_KEY = 100
PAGES = 3  # of one address, whose files are counted together


@dataclass(frozen=True, kw_only=True)
class Owned:
    """A file, who may use it, and until when in seconds of the store's clock."""

    style: StyleSpec
    key: str
    session: str
    address: str
    bytes: int
    until: float


class VisitorStyles:
    """Files in `folder`, each for the page whose key brought it. Thread-safe; what is left of an earlier run is deleted."""

    def __init__(self, folder: Path, limits: BoardLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._owned: dict[str, Owned] = {}
        self._lock = threading.Lock()
        self._delete_old()

    def add(
        self, key: object, path: Path, bases: Sequence[ModelSpec], title: str = "", session: str = "", address: str = ""
    ) -> StyleSpec:
        """Check a file and keep it. Raises InvalidRequest, ModelUnavailable and Overloaded."""
        if not isinstance(key, str) or not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
            raise InvalidRequest("visitor_key", "a key", "the one that the page made")
        size, most = path.stat().st_size, self._limits.own_style_bytes
        if path.suffix.lower() != SUFFIX:
            raise InvalidRequest("style file", path.name, f"a {SUFFIX} file (others may run code when they are read)")
        if size > most:
            raise InvalidRequest("style file", f"{size / 1e6:.0f} MB", f"at most {most / 1e6:.0f} MB")
        check_lora(path)
        family = read_style(path).family
        fitting = [row for row in bases if row.family == family]
        if not fitting:
            raise ModelUnavailable(f"{path.name} is for {family}, which is not offered here.")
        check_lora(path, fitting)
        require_numbers(path)
        with self._lock:
            self._purge()
            self._require_room(key, address, size)
        name = new_name()
        target = own_path(self._folder, name)
        partial = target.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial)  # without the lock, for which others' strokes would wait
            with self._lock:
                self._require_room(key, address, size)
                partial.replace(target)
                style = replace(read_style(target, family, bases=fitting), name=name, title=title or path.stem)
                until = self._clock() + self._limits.own_style_seconds
                self._owned[name] = Owned(style=style, key=key, session=session, address=address, bytes=size, until=until)
        finally:
            partial.unlink(missing_ok=True)
        self._look_again()
        return style

    def of(self, key: object) -> list[StyleSpec]:
        """The files of a page, the oldest first."""
        with self._lock:
            self._purge()
            return [row.style for row in self._owned.values() if row.key == key]

    def check(self, key: object, request: GenerationRequest) -> None:
        """Raises InvalidRequest if `request` names a file that the page with `key` did not bring, or that is gone."""
        names = [style.name for style in request.styles if is_own(style.name)]
        if not names:
            return
        mine = {style.name for style in self.of(key)}
        for name in names:
            if name not in mine:
                raise InvalidRequest("style", name, "one of this page: own files serve who brought them, and for a while only")

    def forget(self, session: str) -> None:
        """Delete the files of a page that was closed."""
        with self._lock:
            self._drop([name for name, row in self._owned.items() if session and row.session == session])

    def close(self) -> None:
        """Delete all."""
        with self._lock:
            self._drop(list(self._owned))

    def _require_room(self, key: str, address: str, size: int) -> None:
        most, rows = self._limits.own_styles, list(self._owned.values())
        if sum(row.key == key for row in rows) >= most:
            raise InvalidRequest("style file", f"{most + 1} files", f"at most {most} of your own at a time")
        if address and sum(row.address == address for row in rows) >= PAGES * most:
            raise Overloaded("Too many style files of your address are here; close another page.", retry_after=60.0)
        if sum(row.bytes for row in rows) + size > self._limits.own_styles_bytes:
            raise Overloaded("There is no room for more visitors' style files just now.", retry_after=600.0)

    def _purge(self) -> None:
        now = self._clock()
        self._drop([name for name, row in self._owned.items() if row.until <= now])

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            del self._owned[name]
            own_path(self._folder, name).unlink(missing_ok=True)

    def _look_again(self) -> None:
        """Delete what is too old even if nobody comes any more."""
        timer = threading.Timer(self._limits.own_style_seconds + 1, lambda: self.of(""))
        timer.daemon = True
        timer.start()

    def _delete_old(self) -> None:
        """What a run before left; another one on this machine may have files that are younger."""
        for path in self._folder.glob("own-*"):
            try:
                if path.stat().st_mtime < time.time() - self._limits.own_style_seconds:
                    path.unlink()
            except OSError as error:
                logger.warning("a visitor's style file stays: %s", error)
