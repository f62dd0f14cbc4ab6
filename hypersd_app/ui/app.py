"""Serving: the page and the drawing-board socket on one port."""

from __future__ import annotations

import functools
import logging
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.route_utils import FnIndexInferError

from hypersd_app.catalog.own_styles import own_folder
from hypersd_app.server.engines.factory import open_engine
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.engines.scheduled import ScheduledEngine
from hypersd_app.server.engines.worker import WorkerEngine
from hypersd_app.server.http.address import reach_ourselves, require_free, url_host
from hypersd_app.server.http.connections import limit_connections
from hypersd_app.server.http.middleware import unknown_call
from hypersd_app.server.http.origins import allowed_hosts
from hypersd_app.server.http.routes import app_arguments, own_bytes
from hypersd_app.server.http.tokens import TokenSigner
from hypersd_app.server.observability.health import Readiness
from hypersd_app.server.observability.metrics import Metrics
from hypersd_app.server.observability.request_log import RequestLog, write_request_log
from hypersd_app.server.scheduling.limits import OVERSIZED, BoardLimits, limits_of
from hypersd_app.server.service import BoardService
from hypersd_app.server.visitor_styles import VisitorStyles
from hypersd_app.settings import Settings
from hypersd_app.system import print_anything, share_one_heap
from hypersd_app.ui.i18n.texts import use_language
from hypersd_app.ui.page import build_page
from hypersd_app.ui.shell.scripts import css, head, module_route
from hypersd_app.ui.shell.theme import calm_theme
from hypersd_app.ui.shell.visitors import current_visitor
from hypersd_app.ui.style_uploads import LARGEST_STYLE

logger = logging.getLogger(__name__)

QUEUE_LENGTH = 64
PAGES_A_BOARD = 2  # sessions whose state Gradio keeps, per allowed drawing board
THREADS_FOR_SHORT_CALLS = 36  # beside those that wait for an image


@dataclass(frozen=True)
class Studio:
    """A page ready to be launched, with what has to be closed after it."""

    page: gr.Blocks
    service: BoardService
    engine: ImageEngine
    arguments: dict[str, Any]
    readiness: Readiness

    def launch(self, **overrides: Any) -> tuple[Any, str, str]:
        """`gr.Blocks.launch` with the studio's arguments; returns (app, local address, public address)."""
        print_anything()  # Gradio greets with pictograms
        launched: tuple[Any, str, str] = self.page.launch(**{**self.arguments, **overrides})
        # The socket carries PNG and JPEG: deflating them again only adds latency.
        self.page.server.config.ws_per_message_deflate = False
        limit_connections(self.page.server.config, message_bytes=OVERSIZED * self.service.limits.frame_bytes)
        return launched

    def close(self, drain: float = 0.0) -> None:
        """Finish queued requests for up to `drain` seconds, then stop serving and free the device."""
        self.service.close(drain)
        self.page.close(verbose=False)
        if self.service.own_styles is not None:
            self.service.own_styles.close()
        self.engine.close()


def build_studio(engine: ImageEngine, settings: Settings, limits: BoardLimits | None = None, devices: int = 1) -> Studio:
    """Build the studio without starting its server."""
    use_language(settings.language)
    if isinstance(engine, WorkerEngine):
        engine.await_ready()
    request_log, readiness = RequestLog(Metrics(), settings.log_prompts), Readiness()
    limits = limits or limits_of(settings.limits)
    service = BoardService(engine, limits, TokenSigner(), request_log, devices, visitor_styles(settings, limits))
    shared = ScheduledEngine(engine, service, current_visitor)
    # Visitors of a public server cannot add files.
    page = build_page(shared, service, settings.default_model, None if settings.public else settings.styles, usual_transport())
    page.queue(max_size=QUEUE_LENGTH, default_concurrency_limit=4)
    return Studio(page, service, engine, launch_arguments(engine, service, readiness, settings), readiness)


def visitor_styles(settings: Settings, limits: BoardLimits) -> VisitorStyles | None:
    """Visitors' own style files, where they may bring any: replicas on other machines would not find them."""
    alone = not settings.replicas and not settings.ray_application
    return VisitorStyles(own_folder(settings.cache), limits) if settings.public and settings.visitor_styles and alone else None


def usual_transport() -> str:
    """The transport that the page tries first: on ZeroGPU only Gradio's own events get the device."""
    return "event" if os.environ.get("SPACES_ZERO_GPU") else "socket"


def launch_arguments(engine: ImageEngine, service: BoardService, readiness: Readiness, settings: Settings) -> dict[str, Any]:
    """Arguments of `launch`. SSR's proxy passes no sockets, and the run history would slow a live board down."""
    # Style files are large; what takes images checks their size itself.
    upload_bytes = service.limits.upload_bytes if settings.public else LARGEST_STYLE
    hosts = allowed_hosts(settings, service.limits.allowed_origins)
    app = app_arguments(engine, service, readiness, upload_bytes, hosts, settings.root_path)
    return {
        "server_name": url_host(settings.host),
        "server_port": settings.port or None,
        "root_path": "",  # see ProxyPath
        "share": settings.share,
        "ssr_mode": False,
        "run_history": False,
        # A page's state takes 0.25 MB, and Gradio frees it only to make room for a newer one.
        "state_session_capacity": PAGES_A_BOARD * service.limits.sessions,
        "max_file_size": max(upload_bytes, own_bytes(service)),
        # Not Gradio's default of 40, with which calls share their threads with the page itself, tokens and health.
        "max_threads": service.limits.jobs + THREADS_FOR_SHORT_CALLS,
        "app_kwargs": {
            **app,
            "routes": [*app["routes"], module_route()],
            "exception_handlers": {**app["exception_handlers"], FnIndexInferError: unknown_call},
        },
        "mcp_server": True,
        "theme": calm_theme(),
        "css": css(),
        "head": head(),
        "footer_links": ["api", "settings"],
        "quiet": True,
    }


def serve(settings: Settings, engine: ImageEngine | None = None, devices: int = 1) -> None:
    """Build engine and page, and serve until a signal. Raises HyperSDError if the default model may not be served at all."""
    limits = limits_of(settings.limits)  # invalid limits are reported before a model is loaded
    settings = settings.for_visitors()
    require_free(settings.host, settings.port)
    reach_ourselves(settings.host)
    share_one_heap()
    write_request_log()
    os.environ["FORWARDED_ALLOW_IPS"] = settings.trusted_proxies  # uvicorn then takes the visitor from X-Forwarded-For
    opened = engine or open_engine(settings)
    studio = build_studio(opened, settings, limits, devices)
    if isinstance(opened, WorkerEngine):
        studio.service.request_log.metrics.watch_process(functools.partial(getattr, opened, "pid"))
    stopped = stop_signal()
    try:
        studio.launch(prevent_thread_lock=True)
        studio.readiness.warm_up(opened, settings.default_model, settings.preloaded)
        logger.info("serving on %s", studio.page.local_url)
        stopped.wait()
    finally:
        studio.close(settings.drain_seconds)  # closing connections may take another five


def stop_signal() -> threading.Event:
    """Set by Ctrl-C and SIGTERM; a second one of them ends the process at once."""
    stopped = threading.Event()

    def stop(number: int, _frame: object) -> None:
        logger.info("%s: finishing what is being drawn", signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return stopped
