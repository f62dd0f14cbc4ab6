"""Routes beside Gradio's: the drawing-board socket, health, readiness and metrics."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.board_socket import BoardSocket
from hypersd_app.server.http.browser_policy import BrowserPolicy
from hypersd_app.server.http.middleware import HttpGuard, exception_handlers
from hypersd_app.server.http.origins import AllowedHosts, OriginGuard
from hypersd_app.server.http.proxy_path import ProxyPath
from hypersd_app.server.observability.health import Readiness, State, StatusReader
from hypersd_app.server.service import BoardService

SOCKET_PATH = "/studio/board"
STUCK_SECONDS = 600.0  # a batch that has run for so long will not end
LOOK_AGAIN_SECONDS = 2  # until a studio that starts may be ready
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def app_arguments(
    engine: ImageEngine, service: BoardService, readiness: Readiness, upload_bytes: int, hosts: AllowedHosts, root_path: str = ""
) -> dict[str, Any]:
    """Arguments of the FastAPI app that Gradio makes, for `launch(app_kwargs=...)`."""
    limits, metrics = service.limits, service.request_log.metrics
    return {
        "routes": studio_routes(engine, service, readiness),
        "middleware": [
            Middleware(ProxyPath, root_path=root_path),
            Middleware(BrowserPolicy),
            Middleware(OriginGuard, hosts=hosts, metrics=metrics),
            Middleware(HttpGuard, limits=limits, metrics=metrics, upload_bytes=upload_bytes, file_bytes=own_bytes(service)),
        ],
        "exception_handlers": exception_handlers(),
    }


def own_bytes(service: BoardService) -> int:
    """Bytes of the largest style file that a visitor may bring, 0 if none may."""
    return service.limits.own_style_bytes if service.own_styles is not None else 0


def studio_routes(engine: ImageEngine, service: BoardService, readiness: Readiness) -> list[BaseRoute]:
    """The routes."""
    socket, status = BoardSocket(service), StatusReader(engine)

    async def health(_request: Request) -> JSONResponse:
        """Alive: this loop answers, and no batch is stuck. An orchestrator restarts what answers otherwise."""
        stuck = service.busy_seconds() > STUCK_SECONDS
        strokes, jobs = service.waiting()
        told = {"ok": not stuck, "boards": socket.sessions, "waiting": strokes, "jobs": jobs, "engine": await status.read()}
        return JSONResponse(told, status_code=503 if stuck else 200)

    async def ready(_request: Request) -> JSONResponse:
        """Ready for visitors: warmed up, and not about to stop. A load balancer sends nobody to what answers otherwise."""
        state = State.STOPPING if service.draining else readiness.state
        told = {"ready": state is State.READY, "state": f"{state}: {readiness.reason}" if state is State.FAILED else state}
        if state is State.READY:
            return JSONResponse(told)
        return JSONResponse(told, status_code=503, headers={"retry-after": str(LOOK_AGAIN_SECONDS)})

    async def metrics(_request: Request) -> Response:
        """What Prometheus scrapes."""
        now = await status.read()
        strokes, jobs = service.waiting()
        page = service.request_log.metrics.page(
            {
                "boards": socket.sessions,
                "waiting_strokes": strokes,
                "waiting_jobs": jobs,
                "busy_seconds": service.busy_seconds(),
                "resident_bytes": now.get("bytes", 0),
                "worker_restarts": now.get("restarts", 0),
                "replicas": now.get("replicas", 0),
                "replica_resident_memory_bytes": now.get("replica_memory", 0),
            }
        )
        return Response(page, media_type=PROMETHEUS)

    return [
        WebSocketRoute(SOCKET_PATH, socket.serve),
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics),
    ]
