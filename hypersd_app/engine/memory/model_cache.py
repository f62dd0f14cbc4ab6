"""What is in memory: least recently used out first, each thing loaded once however many ask."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
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


@dataclass
class _Slot:
    """One key's place. `ready` is set when loading ended, well or not."""

    ready: threading.Event = field(default_factory=threading.Event)
    loaded: Loaded | None = None
    error: BaseException | None = None
    users: int = 0


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
        """`release` is called after evictions, to give freed memory back."""
        self.budget = budget
        self._release = release
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._loads = self._evictions = 0
        self._load_seconds = 0.0

    @contextmanager
    def lease(self, key: Hashable, load: Callable[[], Loaded], estimate: int = 0) -> Iterator[Any]:
        """The value for `key`, kept in memory while the block runs. Raises what `load` raises, and DeviceOutOfMemory."""
        slot = self._enter(key, load, estimate)
        try:
            assert slot.loaded is not None
            yield slot.loaded.value
        finally:
            with self._lock:
                slot.users -= 1

    def _enter(self, key: Hashable, load: Callable[[], Loaded], estimate: int) -> _Slot:
        with self._lock:
            slot = self._slots.get(key)
            mine = slot is None
            if slot is None:
                slot = self._slots[key] = _Slot()
            slot.users += 1
            self._slots.move_to_end(key)
            self._hits += not mine
        if mine:
            self._fill(key, slot, load, estimate)
        else:
            slot.ready.wait()
        if slot.error is not None:
            with self._lock:
                slot.users -= 1
            # Each waiter gets the error of the one load; the slot is gone, so the next request tries again.
            raise slot.error
        return slot

    def _fill(self, key: Hashable, slot: _Slot, load: Callable[[], Loaded], estimate: int) -> None:
        started = time.perf_counter()
        try:
            self._make_room(estimate, key)
            loaded = load()
            self._make_room(loaded.bytes, key)
            slot.loaded = loaded
        except BaseException as error:
            # Whatever went wrong must reach every waiter, or they would wait for ever.
            slot.error = error
            with self._lock:
                self._slots.pop(key, None)
            raise
        finally:
            with self._lock:
                self._loads += 1
                self._load_seconds += time.perf_counter() - started
            slot.ready.set()

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
            for other in list(self._slots):
                if self._bytes() + needed <= self.budget:
                    break
                slot = self._slots[other]
                if slot.users == 0 and slot.loaded is not None:
                    freed.append(self._slots.pop(other).loaded)
                    self._evictions += 1
                    logger.info("evicted %s", other)
            short = self._bytes() + needed - self.budget
        self._close(freed)
        return short

    def trim(self) -> None:
        """Evict idle things until what grew since it was loaded, say by a style, fits again."""
        self._evict(0)

    def _bytes(self) -> int:
        return sum(slot.loaded.bytes_now for slot in self._slots.values() if slot.loaded is not None)

    def clear(self) -> None:
        """Evict everything that is not in use."""
        with self._lock:
            idle = [key for key, slot in self._slots.items() if slot.users == 0 and slot.loaded is not None]
            freed = [self._slots.pop(key).loaded for key in idle]
            self._evictions += len(freed)
        self._close(freed)

    def _close(self, freed: list[Loaded | None]) -> None:
        """Let go of what was evicted; the list is emptied, or it would keep everything alive."""
        evicted = bool(freed)
        while freed:
            loaded = freed.pop()
            if loaded is not None and loaded.close is not None:
                loaded.close()
            del loaded
        if evicted and self._release is not None:
            self._release()

    def statistics(self) -> ModelCacheStatistics:
        """A snapshot."""
        with self._lock:
            names = tuple(str(key) for key, slot in self._slots.items() if slot.loaded is not None)
            return ModelCacheStatistics(
                self._hits, self._loads, self._evictions, self._bytes(), self.budget, names, self._load_seconds
            )
