"""Memory for request bodies: so much for all, a quarter for one address, so that nobody fills it with what never ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from hypersd_app.server.scheduling.limits import BoardLimits, is_loopback

SHARE = 4  # of what there is, for one address


class BodyMemory:
    """Bytes of bodies that are being read or worked on, by address. Not thread-safe: for the event loop."""

    def __init__(self, limits: BoardLimits) -> None:
        self._most = limits.bodies
        self._most_for_one = max(limits.bodies // SHARE, limits.body_bytes)
        self._held: Counter[str] = Counter()

    def room(self, address: str, size: int) -> bool:
        """Whether `size` more bytes fit. This machine's own visitors are not told apart, and share all of it."""
        most = self._most if is_loopback(address) else self._most_for_one
        return self._held.total() + size <= self._most and self._held[address] + size <= most

    @contextmanager
    def body(self, address: str, size: int) -> Iterator[HeldBody]:
        """A body that says it has `size` bytes, until its request is answered."""
        held = HeldBody(self._held, address)
        held.grow(size)
        try:
            yield held
        finally:
            held.release()


class HeldBody:
    """One body's part of the memory."""

    def __init__(self, held: Counter[str], address: str) -> None:
        self._held = held
        self._address = address
        self.size = 0

    def grow(self, size: int) -> None:
        """It has `size` bytes, or more than was said before."""
        if size > self.size:
            self._held[self._address] += size - self.size
            self.size = size

    def release(self) -> None:
        """It is not needed any more."""
        self._held[self._address] -= self.size
        if self._held[self._address] <= 0:
            del self._held[self._address]
