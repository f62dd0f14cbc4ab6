"""How much one visitor, and all together, may ask of the server."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MEGABYTE = 1024 * 1024
MOST_REMEMBERED = 4096  # addresses


@dataclass(frozen=True)
class BoardLimits:
    """Caps of the drawing board; bytes, pixels, frames a second, seconds. Prompt length, pictures a request and styles
    are limited by `GenerationRequest` itself."""

    frame_bytes: int = 2 * MEGABYTE
    picture_pixels: int = 4 * 1024 * 1024
    sketch_pixels: int = 25_000_000  # uploads; a 50-megapixel file is refused before it is decoded
    upload_bytes: int = 32 * MEGABYTE
    body_bytes: int = 4 * MEGABYTE  # a JSON body; base64 makes a third more of a frame
    frames_per_second: float = 30.0
    burst: int = 30
    bytes_per_second: float = 8.0 * MEGABYTE
    calls_per_second: float = 30.0  # HTTP posts of one address
    call_burst: int = 120
    sessions: int = 64
    sessions_an_address: int = 16
    jobs_a_visitor: int = 4
    jobs: int = 64
    free_memory: int = 256 * MEGABYTE  # with less than this left on the machine nobody new is let in
    hello_seconds: float = 10.0
    idle_seconds: float = 900.0
    call_seconds: float = 120.0
    come_back_seconds: float = 30.0  # what who finds all places taken is told
    allowed_origins: tuple[str, ...] = ()  # hosts besides the page's own


class RateBucket:
    """A token bucket: `burst` at once, then `rate` a second. Not for use from several threads."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._at = clock()

    def take(self, amount: float = 1.0) -> bool:
        """Take `amount`; False, and nothing is taken, when there is less left."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def wait(self, amount: float = 1.0) -> float:
        """Seconds until `amount` can be taken."""
        return max(0.0, (amount - self._level) / self._rate)


class AddressBuckets:
    """A bucket for each address; the ones not heard of for longest are forgotten. For the event loop's thread only."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, RateBucket] = OrderedDict()

    def retry_after(self, address: str) -> float:
        """Take one for `address`; seconds to wait if there is none left, else 0."""
        bucket = self._buckets.setdefault(address, RateBucket(self._rate, self._burst))
        self._buckets.move_to_end(address)
        while len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        return 0.0 if bucket.take() else bucket.wait()


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own: its visitors, or a proxy that does not say whom it brings."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
