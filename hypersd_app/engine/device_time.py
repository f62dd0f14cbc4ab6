"""Time on the device: one piece of work has it at once, a long one lets short ones in, and a clock tells where it went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 4.0  # seconds in which short work comes first, for each that a long one has had
LINGER = 0.06  # seconds in which who has just been served comes again: a pen's next stroke is on its way


class SharedDevice:
    """A lock with two kinds of holders. Thread-safe; each side is served in no particular order.

    Long work waits while short work keeps coming, so that a stroke does not find the device taken each time, until it has
    waited `SHARE` times as long as the last piece of long work took.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._taken = False
        self._waiting = 0  # short ones
        self._long_waiting = 0
        self._due = clock()  # from when on long work goes first
        self._released = self._due - LINGER  # when the last short one was done

    @contextmanager
    def short(self) -> Iterator[None]:
        """The device for a piece of work that ends soon."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._taken and not self._is_long_turn())
            finally:
                self._waiting -= 1
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken, self._released = False, self._clock()
                self._changed.notify_all()

    @contextmanager
    def long(self) -> Iterator[LongWork]:
        """The device for work that calls `give_way` between its steps."""
        work = LongWork(self)
        with self._changed:
            self._take(work)
        try:
            yield work
        finally:
            with self._changed:
                self._release(work)

    def _take(self, work: LongWork) -> None:
        """Wait for a turn. Called with the lock held."""
        self._long_waiting += 1
        try:
            while self._taken or (not self._is_long_turn() and self._more_to_come()):
                self._changed.wait(LINGER)
        finally:
            self._long_waiting -= 1
        self._taken = True
        work.since = self._clock()

    def _release(self, work: LongWork) -> None:
        now = self._clock()
        self._taken, self._due = False, now + SHARE * (now - work.since)
        self._changed.notify_all()

    def _give_way(self, work: LongWork) -> float:
        """Release the device, let short ones have their share and take it again; returns the seconds between."""
        left = self._clock()
        with self._changed:
            if not self._more_to_come():
                work.since = left
                return 0.0
            self._release(work)
            self._take(work)
        return work.since - left

    def _is_long_turn(self) -> bool:
        return self._long_waiting > 0 and self._clock() >= self._due

    def _more_to_come(self) -> bool:
        return self._waiting > 0 or self._clock() - self._released < LINGER


class LongWork:
    """Work that has the device now. `since`: since when without a break."""

    def __init__(self, device: SharedDevice) -> None:
        self._device = device
        self.since = 0.0

    def give_way(self) -> float:
        """Let those who wait have the device for a while; returns for how many seconds it was away, 0 if nobody waited."""
        return self._device._give_way(self)


class Clock:
    """Adds up the time of named parts. `synchronize` waits for the device, so that its work counts where it belongs."""

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        self._synchronize = synchronize
        self._started = time.perf_counter()
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if self._synchronize is not None:
            self._synchronize()
        spent = (time.perf_counter() - started) * 1000
        self.milliseconds[part] = self.milliseconds.get(part, 0.0) + spent

    def leave_out(self, seconds: float) -> None:
        """Time that others had the device."""
        self._started += seconds

    def finished(self) -> dict[str, float]:
        """The parts and `total`, everything since the clock was made."""
        return {**self.milliseconds, "total": (time.perf_counter() - self._started) * 1000}
