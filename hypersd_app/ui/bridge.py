"""The invisible component through which the page's scripts call Python, and the board's two fallback transports."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.server.engines.protocol import ImageEngine
from hypersd_app.server.http.middleware import MALFORMED
from hypersd_app.server.http.tokens import TokenRefused
from hypersd_app.server.http.wire import Message, unpack
from hypersd_app.server.service import BoardService, answer, error_answer
from hypersd_app.ui.calls.page import page_calls
from hypersd_app.ui.compare.grid import MAX_CELLS
from hypersd_app.ui.shell.scripts import mount
from hypersd_app.ui.shell.visitors import current_visitor

LANES = ("", "strip", "variants", "compare")


class Bridge:
    """Server functions of the page. Each takes the one argument Gradio passes and answers with plain JSON."""

    def __init__(self, service: BoardService, engine: ImageEngine, default_model: str) -> None:
        self._service = service
        self._calls = page_calls(service, engine, default_model)

    def board_token(self) -> str:
        """A token for the socket and for `board_frame`; this call is behind Gradio's login."""
        return self._service.signer.issue()

    def board_frame(self, body: Any) -> dict[str, Any]:
        """One frame as a binary POST: `message` is JSON with token and lane, the file a packed frame."""
        try:
            message = json.loads(body.data["message"])
            return self._render(message, body.files[0][1])
        except MALFORMED:
            return dict(error_answer(0, InvalidRequest("frame", "a malformed call", "a message and a file")).head)

    def board_event(self, text: str | None) -> str:
        """One frame as a Gradio event: JSON with token and the packed frame in base64; answers JSON.

        Or several, as `together`, which borrow a device in one call. A `call` comes back as it is, to tell answers apart. A
        `ping` asks whether anybody is there, and is answered with a token: the page may have no other way to one.
        """
        try:
            message = json.loads(text or "{}")
            if "ping" in message:
                return json.dumps({"type": "pong", "ping": int(message["ping"]), "token": self.board_token()})
            call = {"call": int(message["call"])} if "call" in message else {}
            if "together" in message:
                return json.dumps({**self._together(message), **call})
            return json.dumps({**self._render(message, base64.b64decode(message["frame"])), **call})
        except MALFORMED:
            return json.dumps(error_answer(0, InvalidRequest("frame", "a malformed event", "token and frame")).head)

    def page_call(self, body: Any) -> dict[str, Any]:
        """Everything but frames: `message` is JSON with token, task and values, the file what the task works on."""
        try:
            message = json.loads(body.data["message"])
            self._service.signer.visitor(message.get("token"))
            call = self._calls[message["task"]]
            return call(dict(message["values"]), body.files[0][1])
        except TokenRefused as error:
            return {"type": "refused", "message": str(error)}
        except HyperSDError as error:
            return {"type": "error", "message": str(error)}
        except MALFORMED:
            return {"type": "error", "message": str(InvalidRequest("call", "a malformed call", "task, values and a file"))}

    def _together(self, message: Mapping[str, Any]) -> dict[str, Any]:
        packed = message["together"]
        try:
            visitor = f"{self._service.signer.visitor(message.get('token'))}/{lane_of(message)}"
            if not isinstance(packed, list) or not 1 <= len(packed) <= MAX_CELLS:
                raise InvalidRequest("together", "a number of images", f"1 to {MAX_CELLS}")
            frames = [self._frame(base64.b64decode(each)) for each in packed]
            drawn = self._service.render_together(visitor, frames, address=current_visitor().address)
        except TokenRefused as error:
            return {"type": "refused", "message": str(error)}
        except HyperSDError as error:
            return {"type": "error", "message": str(error)}
        return {"type": "together", "answers": [_in_json(answer(each)) for each in drawn]}

    def _frame(self, data: bytes) -> Message:
        self._service.limits.check_frame(data)
        return unpack(data)

    def _render(self, message: Mapping[str, Any], data: bytes) -> dict[str, Any]:
        sequence = int.from_bytes(data[:4], "little")
        try:
            visitor, lane = self._service.signer.visitor(message.get("token")), lane_of(message)
            render = self._service.render_aside if lane else self._service.render
            reply = answer(render(f"{visitor}/{lane}", self._frame(data), address=current_visitor().address))
        except TokenRefused as error:
            return {"type": "refused", "seq": sequence, "message": str(error)}
        except HyperSDError as error:
            reply = error_answer(sequence, error)
        return _in_json(reply)


def lane_of(message: Mapping[str, Any]) -> str:
    """What a frame is for; "" for a stroke. Raises InvalidRequest."""
    lane: str = message.get("lane", "")
    if lane not in LANES:
        raise InvalidRequest("lane", lane, "one of the page's own")
    return lane


def _in_json(reply: Message) -> dict[str, Any]:
    return {**reply.head, "picture": base64.b64encode(reply.image).decode()}


def add_bridge(service: BoardService, engine: ImageEngine, config: Mapping[str, Any]) -> gr.HTML:
    """Add the invisible components: one that sends (event "frame"), one that receives."""
    bridge = Bridge(service, engine, config["model"])

    # Gradio marks server functions with an attribute, which methods can't carry.
    async def board_token(_nothing: object = None) -> str:  # on the event loop: it waits for no thread that others occupy
        return bridge.board_token()

    def board_frame(body: Any) -> dict[str, Any]:
        return bridge.board_frame(body)

    def page_call(body: Any) -> dict[str, Any]:
        return bridge.page_call(body)

    uplink = gr.HTML(
        value="",
        html_template="<span hidden></span>",
        # The quoted event names make Gradio offer `uplink.frame(...)` and `uplink.restore(...)`.
        config=config,
        js_on_load=mount("mountBridge") + '/* events: "frame" "restore" */',
        server_functions=[board_token, board_frame, page_call],
        elem_id="hs-bridge",
        elem_classes="hs-invisible",
    )
    downlink = gr.HTML(
        value="",
        html_template="<span hidden></span>",
        js_on_load='watch("value", () => window.dispatchEvent(new CustomEvent("hypersd:downlink", {detail: props.value})));',
        elem_classes="hs-invisible",
    )
    uplink.frame(
        bridge.board_event,
        uplink,
        downlink,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="multiple",
        concurrency_limit=None,
    )
    return uplink
