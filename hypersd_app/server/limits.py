"""How much one visitor, and all together, may ask of the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BoardLimits:
    """Caps of the drawing board; bytes, pixels, frames a second, seconds."""

    frame_bytes: int = 2 * 1024 * 1024
    picture_pixels: int = 4 * 1024 * 1024
    sketch_pixels: int = 25_000_000  # uploads; a 50-megapixel file is refused before it is decoded
    upload_bytes: int = 32 * 1024 * 1024
    frames_per_second: float = 30.0
    burst: int = 30
    sessions: int = 64
    hello_seconds: float = 10.0
    idle_seconds: float = 900.0
    call_seconds: float = 120.0
    allowed_origins: tuple[str, ...] = ()  # hosts besides the page's own


class RateBucket:
    """A token bucket: `burst` at once, then `rate` a second. Not for use from several threads."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._at = clock()

    def take(self) -> bool:
        """Take one; False when there is none left."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True
