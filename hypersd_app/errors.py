"""What can go wrong, in terms a user understands. Only `ui` and `server` turn these into pages."""

from __future__ import annotations

from typing import Any


class HyperSDError(Exception):
    """Base of all errors whose message may be shown to a user."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with its message, not its constructor arguments: errors cross from the drawing process to the server."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[HyperSDError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> HyperSDError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(attributes)
    return error


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


class CannotListen(HyperSDError):
    """The server's host or port can't be used; the message says why and what to choose instead."""


class DeviceOutOfMemory(HyperSDError):
    """The device had no room; the cache was freed and the request may be tried again."""


class NotDrawn(HyperSDError):
    """Something unforeseen went wrong; the log has the stack, the visitor is told no more than that."""

    def __init__(self, message: str = "The image could not be made; the server's log says why.") -> None:
        super().__init__(message)


class Refused(HyperSDError):
    """A prompt or image was rejected by the safety filter."""


class Overloaded(HyperSDError):
    """Too much work at once; the message says what and when to come back, `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(f"{message} Try again in {max(1, round(retry_after))} s.")
        self.retry_after = retry_after


class NoGpu(HyperSDError):
    """No GPU could be borrowed: the visitor's quota is used up, or none was free. Trying again at once would not help."""


class WorkerLost(Overloaded):
    """The process that draws died or hung and is being started again; what it had in hand is lost, nothing else."""
