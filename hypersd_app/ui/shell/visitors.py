"""The visitor of the current request, on a thread on which Gradio runs a handler."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.context import LocalContext

from hypersd_app.server.engines.scheduled import Visitor
from hypersd_app.server.scheduling.limits import claimant

UNKNOWN = "unknown"


def current_visitor() -> Visitor:
    """The visitor's name and transport: "page" for a browser's session, "api" for a program."""
    return named(LocalContext.request.get(None))  # gr.Request in events, Starlette's own in server functions


def named(request: Any) -> Visitor:
    """Name and transport of the sender of `request`."""
    client = getattr(request, "client", None)
    address = client.host if client is not None else UNKNOWN
    session = request.session_hash if isinstance(request, gr.Request) else None
    name, transport = (f"{address}/{session}", "page") if session else (address, "api")
    return Visitor(name, transport, claimant(address))
