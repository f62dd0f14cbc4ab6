"""A studio with the fake engine, served on a free port of this machine, for tests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hypersd_app.server.limits import BoardLimits
from hypersd_app.settings import Settings
from hypersd_app.ui.launch import Studio, build_studio
from tests.fake_engine import FakeEngine


@dataclass(frozen=True)
class Served:
    """Where it runs, and what runs there."""

    address: str
    port: int
    engine: FakeEngine
    studio: Studio


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(engine: FakeEngine | None = None, port: int = 0, limits: BoardLimits | None = None) -> Iterator[Served]:
    """Serve until the block ends."""
    engine = engine or FakeEngine()
    port = port or free_port()
    studio = build_studio(engine, Settings(port=port), limits)
    studio.launch(prevent_thread_lock=True)
    try:
        yield Served(f"http://127.0.0.1:{port}/", port, engine, studio)
    finally:
        studio.close()
