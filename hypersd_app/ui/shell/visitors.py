"""The visitor of the current request, on a thread on which Gradio runs a handler."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import LocalContext

UNKNOWN = "unknown"


def current_visitor() -> tuple[str, str]:
    """The visitor's name and transport: "page" for a browser's session, "api" for a program."""
    return named(LocalContext.request.get(None))  # gr.Request in events, Starlette's own in server functions


def named(request: Any) -> tuple[str, str]:
    """Name and transport of the sender of `request`."""
    client = getattr(request, "client", None)
    address = client.host if client is not None else UNKNOWN
    session = request.session_hash if isinstance(request, gr.Request) else None
    return (f"{address}/{session}", "page") if session else (address, "api")
