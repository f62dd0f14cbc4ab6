"""A studio with the fake engine, served on a free port of this machine, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypersd_app.bench.browser.chromium import free_port
from hypersd_app.server.scheduling.limits import BoardLimits
from hypersd_app.settings import Settings
from hypersd_app.ui.app import Studio, build_studio
from hypersd_app.ui.i18n.texts import use_language
from tests.support.fake_engine import FakeEngine


@dataclass(frozen=True)
class Served:
    """Where it runs, and what runs there."""

    address: str
    port: int
    engine: FakeEngine
    studio: Studio
    styles: Path


@contextmanager
def served(
    engine: FakeEngine | None = None,
    port: int = 0,
    limits: BoardLimits | None = None,
    styles: Path = Path("no styles"),
    language: str = "en",
    root_path: str = "",
) -> Iterator[Served]:
    """Serve until the block ends; `styles` is where added style files go. The language is that of the whole process till then."""
    engine = engine or FakeEngine(folder=styles)
    port = port or free_port()
    studio = build_studio(engine, Settings(port=port, styles=styles, language=language, root_path=root_path), limits)
    studio.launch(prevent_thread_lock=True)
    try:
        yield Served(f"http://127.0.0.1:{port}/", port, engine, studio, styles)
    finally:
        studio.close()
        use_language("en")
