"""Limits per visitor and for the whole server."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from cachetools import LRUCache

from hypersd_app.errors import InvalidRequest

MEGABYTE = 1024 * 1024
MOST_REMEMBERED = 4096  # addresses
MOST = 1e12  # of anything; a limit that is never met may be as large
OVERSIZED = 2  # times the largest frame: what is told to be too large; a socket that sends more is closed
LARGE_AT_ONCE = 2  # uploads that are read at a time: one may take 0.3 GB until it is small
FORMER_NAMES = {"sessions_an_address": "sessions_per_address", "jobs_a_visitor": "jobs_per_visitor"}  # still accepted
LEAST = {"free_memory": 0}  # others: 1 of what is counted, a thousandth of what is measured


@dataclass(frozen=True, kw_only=True)
class BoardLimits:
    """Caps of the drawing board: bytes, pixels, frames per second, seconds.

    Prompt length, images per request and styles are limited by `GenerationRequest` itself.
    """

    frame_bytes: int = 2 * MEGABYTE
    image_pixels: int = 4 * 1024 * 1024
    sketch_pixels: int = 25_000_000  # uploads; a 50-megapixel file is refused before it is decoded
    upload_bytes: int = 32 * MEGABYTE
    body_bytes: int = 4 * MEGABYTE  # a JSON body; base64 makes a third more of a frame
    frames_per_second: float = 30.0
    burst: int = 30
    bytes_per_second: float = 8.0 * MEGABYTE
    bodies: int = 256 * MEGABYTE  # of all requests that are being read at a time; one address may have a quarter
    calls_per_second: float = 30.0  # HTTP posts of one address
    call_burst: int = 120
    calls_per_address: int = 16  # that may draw, queued and running
    sessions: int = 64
    sessions_per_address: int = 16
    jobs_per_visitor: int = 4
    jobs: int = 64
    free_memory: int = 256 * MEGABYTE  # with less than this left on the machine nobody new is let in
    own_styles: int = 3  # LoRA files that one page may bring, where visitors may
    own_style_bytes: int = 256 * MEGABYTE  # of each
    own_styles_bytes: int = 4096 * MEGABYTE  # of all visitors'
    own_style_seconds: float = 7200.0  # until one is deleted, unless its page is closed before
    hello_seconds: float = 10.0
    idle_seconds: float = 900.0
    call_seconds: float = 120.0
    come_back_seconds: float = 30.0  # retry-after when all sessions are in use
    allowed_origins: tuple[str, ...] = ()  # hosts besides the page's own

    def __post_init__(self) -> None:
        for item in fields(self):
            value, least = getattr(self, item.name), LEAST.get(item.name, 0.001 if isinstance(item.default, float) else 1)
            if not isinstance(value, tuple) and not least <= value <= MOST:
                raise InvalidRequest(f"limit {item.name}", value, f"a number from {least:g} to {MOST:g}")

    def check_frame(self, data: bytes) -> None:
        """Raise InvalidRequest for a frame of too many bytes."""
        if len(data) > self.frame_bytes:
            raise InvalidRequest("frame", f"{len(data)} bytes", f"at most {self.frame_bytes} bytes")


def limits_of(text: str) -> BoardLimits:
    """Limits as `text` sets them, "sessions=100 frames_per_second=15"; the rest stay as they are. Raises InvalidRequest."""
    kinds: dict[str, type[Any]] = {item.name: type(item.default) for item in fields(BoardLimits)}
    values: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        name = FORMER_NAMES.get(name, name)
        if name not in kinds:
            raise InvalidRequest("limit", name, "one of " + ", ".join(kinds))
        try:
            values[name] = tuple(value.split(",")) if kinds[name] is tuple else kinds[name](value)
        except ValueError:
            whole = "a whole number" if kinds[name] is int else "a number"
            raise InvalidRequest(f"limit {name}", value, whole) from None
    return BoardLimits(**values)


class RateBucket:
    """A token bucket: `burst` at once, then `rate` per second. Not thread-safe."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._level = float(burst)
        self._at = clock()

    def take(self, amount: float = 1.0) -> bool:
        """Take `amount` if it is available, else take nothing and return False."""
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
    """A bucket per address; the least recently used are forgotten. Not thread-safe."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: LRUCache[str, RateBucket] = LRUCache(MOST_REMEMBERED)

    def retry_after(self, address: str, amount: float = 1.0) -> float:
        """Take `amount` for `address`; returns the seconds to wait if it is not there, else 0."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = RateBucket(self._rate, self._burst)
        return 0.0 if bucket.take(amount) else bucket.wait(amount)


def address_group(address: str) -> str:
    """What counts as one address: of IPv6 the network of /64, since a household or a server has as many addresses as it likes."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


def claimant(address: str) -> str:
    """The address whose turns a visitor takes, "" for one of this machine, who counts alone."""
    return "" if is_loopback(address) else address_group(address)


def is_loopback(address: str) -> bool:
    """Whether an address is loopback: a local visitor, or a proxy that does not forward the client's address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
