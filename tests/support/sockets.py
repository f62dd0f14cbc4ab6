"""Sockets that tests keep open, close in mid-frame or let break."""

from __future__ import annotations

from typing import Any

from websockets.sync.client import ClientConnection, connect


def opened(address: str, **options: Any) -> ClientConnection:
    """An open connection; who gets it closes it. A new websockets warns of one that no `with` has entered."""
    return connect(address, **options).__enter__()
