"""Routes beside Gradio's: the drawing-board socket and the health page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute

from hypersd_app.server.backend import ImageEngine
from hypersd_app.server.board import BoardService
from hypersd_app.server.board_socket import BoardSocket

SOCKET_PATH = "/studio/board"
HEALTH_PATH = "/studio/health"


def studio_routes(engine: ImageEngine, service: BoardService) -> list[BaseRoute]:
    """Routes beside Gradio's own, for `launch(app_kwargs={"routes": ...})`."""
    socket = BoardSocket(service)

    async def health(_request: Request) -> JSONResponse:
        status = await asyncio.to_thread(engine.status)
        return JSONResponse({"ok": True, "boards": socket.sessions, "waiting": service.waiting(), "engine": _plain(status)})

    return [WebSocketRoute(SOCKET_PATH, socket.serve), Route(HEALTH_PATH, health)]


def _plain(value: object) -> object:
    """JSON-ready: numbers, texts, lists and objects stay, the rest becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (int, float, str, bool)) or value is None else str(value)
