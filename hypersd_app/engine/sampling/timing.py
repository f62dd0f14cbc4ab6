"""Milliseconds by part of a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
