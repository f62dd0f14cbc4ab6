"""What can go wrong, in terms a user understands. Only `ui` and `server` turn these into pages."""

from __future__ import annotations


class HyperSDError(Exception):
    """Base of all errors whose message may be shown to a user."""


class InvalidRequest(HyperSDError):
    """A field of a request is wrong; the message names the field, the value and what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = f"{shown[:77]}..."
        super().__init__(f"{field}: {shown} is not allowed; use {allowed}.")
        self.field = field
        self.allowed = allowed


class ModelUnavailable(HyperSDError):
    """Weights, a package or the network needed for a model are missing."""


class DeviceOutOfMemory(HyperSDError):
    """The device had no room; the cache was freed and the request may be tried again."""


class Overloaded(HyperSDError):
    """Too much work at once; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
