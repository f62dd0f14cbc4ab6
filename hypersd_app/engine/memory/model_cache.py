"""What is in memory: least recently used out first, each thing loaded once however many ask."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypersd_app.errors import DeviceOutOfMemory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A value with what it costs: `bytes` when loaded, and what `grown` counts since.

    `close` frees what garbage collection would not.
    """

    value: Any
    bytes: int
    close: Callable[[], None] | None = None
    grown: Callable[[], int] | None = None

    @property
    def bytes_now(self) -> int:
        """What it costs by now."""
        return self.bytes + (0 if self.grown is None else self.grown())


@dataclass(eq=False)
class Entry:
    """What is cached for one key. `ready` is set when loading ended, well or not."""

    key: Hashable
    ready: threading.Event = field(default_factory=threading.Event)
    loaded: Loaded | None = None
    error: BaseException | None = None
    users: int = 0
    evicted: bool = False

    @property
    def value(self) -> Any:
        """What was loaded."""
        assert self.loaded is not None
        return self.loaded.value


@dataclass(frozen=True)
class ModelCacheStatistics:
    """Counts since the start, and what is there now."""

    hits: int
    loads: int
    evictions: int
    bytes: int
    budget: int
    resident: tuple[str, ...]
    load_seconds: float


class ModelCache:
    """A cache within a budget of bytes. What is leased is never evicted; loading one thing never blocks another's use."""

    def __init__(self, budget: int, release: Callable[[], None] | None = None) -> None:
        """Call `release` after evictions, to give freed memory back.

        Before that, `forget`, if somebody sets it, is called to drop references to what was evicted.
        """
        self.budget = budget
        self.forget: Callable[[], None] | None = None
        self._release_memory = release
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._loads = self._evictions = 0
        self._load_seconds = 0.0

    @contextmanager
    def lease(self, key: Hashable, load: Callable[[], Loaded], estimate: int = 0) -> Iterator[Any]:
        """The value for `key`, kept in memory while the block runs. Raises what `load` raises, and DeviceOutOfMemory."""
        entry = self.acquire(key, load, estimate)
        try:
            yield entry.value
        finally:
            self.release([entry])

    def acquire(self, key: Hashable, load: Callable[[], Loaded], estimate: int = 0) -> Entry:
        """The entry for `key`, in memory until it is released. Raises what `load` raises, and DeviceOutOfMemory."""
        with self._lock:
            entry = self._entries.get(key)
            mine = entry is None
            if entry is None:
                entry = self._entries[key] = Entry(key)
            entry.users += 1
            self._entries.move_to_end(key)
            self._hits += not mine
        if mine:
            self._fill(key, entry, load, estimate)
        else:
            entry.ready.wait()
        if entry.error is not None:
            self.release([entry])
            # Each waiter gets the error of the one load; the entry is gone, so the next request tries again.
            raise entry.error
        return entry

    def hold(self, entries: Sequence[Entry]) -> bool:
        """Acquire `entries`, which were acquired before, all again; False, and none is, if one was evicted meanwhile."""
        with self._lock:
            if any(entry.evicted for entry in entries):
                return False
            for entry in entries:
                entry.users += 1
                self._entries.move_to_end(entry.key)
            self._hits += len(entries)
        return True

    def release(self, entries: Sequence[Entry]) -> None:
        """The caller needs `entries` no longer: they may be evicted."""
        with self._lock:
            for entry in entries:
                entry.users -= 1

    def _fill(self, key: Hashable, entry: Entry, load: Callable[[], Loaded], estimate: int) -> None:
        started = time.perf_counter()
        try:
            self._make_room(estimate, key)
            loaded = load()
            self._make_room(loaded.bytes, key)
            entry.loaded = loaded
        except BaseException as error:
            # Whatever went wrong must reach every waiter, or they would wait for ever.
            entry.error = error
            with self._lock:
                self._entries.pop(key, None)
            raise
        finally:
            with self._lock:
                self._loads += 1
                self._load_seconds += time.perf_counter() - started
            entry.ready.set()

    def _make_room(self, needed: int, key: Hashable) -> None:
        """Evict until `needed` more bytes fit. Raises DeviceOutOfMemory if what is in use leaves no room."""
        short = self._evict(needed)
        if short > 0:
            raise DeviceOutOfMemory(
                f"Not enough memory: {key} needs {needed / 1e9:.2f} GB, {short / 1e9:.2f} GB more than the budget of "
                f"{self.budget / 1e9:.2f} GB leaves. Other models were unloaded; choose a smaller one or a smaller size."
            )

    def _evict(self, needed: int) -> int:
        """Drop idle things, the least recently used first, until `needed` bytes are free; how many bytes are still missing."""
        freed = []
        with self._lock:
            for other in list(self._entries):
                if self._bytes() + needed <= self.budget:
                    break
                entry = self._entries[other]
                if entry.users == 0 and entry.loaded is not None:
                    freed.append(self._pop(other))
                    logger.info("evicted %s", other)
            short = self._bytes() + needed - self.budget
        self._close(freed)
        return short

    def trim(self) -> None:
        """Evict idle things until what grew since it was loaded, say by a style, fits again."""
        self._evict(0)

    def _bytes(self) -> int:
        return sum(entry.loaded.bytes_now for entry in self._entries.values() if entry.loaded is not None)

    def clear(self) -> None:
        """Evict everything that is not in use."""
        with self._lock:
            idle = [key for key, entry in self._entries.items() if entry.users == 0 and entry.loaded is not None]
            freed = [self._pop(key) for key in idle]
        self._close(freed)

    def _pop(self, key: Hashable) -> Loaded | None:
        """Take an entry out, which keeps nothing of what it held."""
        entry = self._entries.pop(key)
        loaded, entry.loaded, entry.evicted = entry.loaded, None, True
        self._evictions += 1
        return loaded

    def _close(self, freed: list[Loaded | None]) -> None:
        """Let go of what was evicted; the list is emptied, or it would keep everything alive."""
        evicted = bool(freed)
        if evicted and self.forget is not None:
            self.forget()
        while freed:
            loaded = freed.pop()
            if loaded is not None and loaded.close is not None:
                loaded.close()
            del loaded
        if evicted and self._release_memory is not None:
            self._release_memory()

    def statistics(self) -> ModelCacheStatistics:
        """A snapshot."""
        with self._lock:
            names = tuple(str(key) for key, entry in self._entries.items() if entry.loaded is not None)
            return ModelCacheStatistics(
                self._hits, self._loads, self._evictions, self._bytes(), self.budget, names, self._load_seconds
            )
