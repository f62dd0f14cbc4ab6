"""Signed, short-lived passes: the page gets one through Gradio (so behind its login) and shows it to the socket."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from hypersd_app.errors import HyperSDError


class TokenRefused(HyperSDError):
    """The token is malformed, not ours, or too old; the page should ask for a new one."""


class TokenSigner:
    """Issues and checks tokens `visitor.expiry.signature`. The key lives as long as the process.

    So does the clock: were it the wall's, setting it would send every open page away, or keep tokens for years.
    """

    def __init__(self, lifetime: float = 3600.0, key: bytes | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lifetime = lifetime
        self._key = key or secrets.token_bytes(32)
        self._clock = clock

    def issue(self) -> str:
        """A token for a new visitor, good for `lifetime` seconds."""
        body = f"{secrets.token_urlsafe(12)}.{int(self._clock() + self._lifetime)}"
        return f"{body}.{self._signature(body)}"

    def visitor(self, token: object) -> str:
        """The visitor a token was issued to. Raises TokenRefused."""
        if not isinstance(token, str) or token.count(".") != 2 or len(token) > 200:
            raise TokenRefused("The drawing board's pass is not valid.")
        visitor, expiry, signature = token.split(".")
        expected = self._signature(f"{visitor}.{expiry}")
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise TokenRefused("The drawing board's pass was issued elsewhere or before a restart.")
        if int(expiry) < self._clock():
            raise TokenRefused("The drawing board's pass is too old.")
        return visitor

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode(), hashlib.sha256).hexdigest()[:32]
