"""Serving: the page and the drawing-board socket on one port."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

import gradio as gr

from hypersd_app.errors import HyperSDError
from hypersd_app.server.backend import ImageEngine
from hypersd_app.server.board import BoardService
from hypersd_app.server.limits import BoardLimits
from hypersd_app.server.routes import studio_routes
from hypersd_app.server.tokens import TokenSigner
from hypersd_app.settings import Settings
from hypersd_app.ui.library import LARGEST_STYLE
from hypersd_app.ui.page import build_page
from hypersd_app.ui.scripts import css, head
from hypersd_app.ui.theme import calm_theme

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 64


@dataclass(frozen=True)
class Studio:
    """A page ready to be launched, with what has to be closed after it."""

    page: gr.Blocks
    service: BoardService
    engine: ImageEngine
    arguments: dict[str, Any]

    def launch(self, **overrides: Any) -> tuple[Any, str, str]:
        """`gr.Blocks.launch` with the studio's arguments; returns (app, local address, public address)."""
        launched: tuple[Any, str, str] = self.page.launch(**{**self.arguments, **overrides})
        return launched

    def close(self) -> None:
        """Stop serving and free the device."""
        self.page.close(verbose=False)
        self.service.close()
        self.engine.close()


def build_studio(engine: ImageEngine, settings: Settings, limits: BoardLimits | None = None) -> Studio:
    """Everything but the start of the server."""
    limits = limits or BoardLimits()
    service = BoardService(engine, limits, TokenSigner())
    page = build_page(engine, service, settings.default_model, None if is_public(settings) else settings.styles)
    page.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=4)
    return Studio(page, service, engine, launch_arguments(engine, service, settings))


def is_public(settings: Settings) -> bool:
    """Whether others than the owner of this machine can reach the page: they may add no files to it."""
    return settings.share or settings.host not in ("127.0.0.1", "localhost", "::1")


def launch_arguments(engine: ImageEngine, service: BoardService, settings: Settings) -> dict[str, Any]:
    """Arguments of `launch`. SSR's proxy passes no sockets, and the run history would slow a live board down."""
    return {
        "server_name": settings.host,
        "server_port": settings.port or None,
        "share": settings.share,
        "ssr_mode": False,
        "run_history": False,
        # Style files are large; what takes pictures checks their size itself.
        "max_file_size": service.limits.upload_bytes if is_public(settings) else LARGEST_STYLE,
        "app_kwargs": {"routes": studio_routes(engine, service)},
        "mcp_server": True,
        "theme": calm_theme(),
        "css": css(),
        "head": head(),
        "footer_links": ["api", "settings"],
        "quiet": True,
    }


def warm_up(engine: ImageEngine, model: str) -> None:
    """Make the first visitor's first picture quick. A model that can't be loaded is told to whoever asks for it."""
    try:
        engine.warm_up(model)
    except HyperSDError as error:
        logger.warning("%s is not ready: %s", model, error)


def serve(settings: Settings, engine: ImageEngine | None = None) -> None:
    """Build engine and page, and serve until interrupted. Raises HyperSDError when the default model is missing."""
    if engine is None:
        from hypersd_app.engine.engine import Engine  # torch comes in only when there is something to serve

        engine = Engine(settings)
    studio = build_studio(engine, settings)
    threading.Thread(target=warm_up, args=(engine, settings.default_model), name="warm-up", daemon=True).start()
    try:
        studio.launch()
    finally:
        studio.close()
