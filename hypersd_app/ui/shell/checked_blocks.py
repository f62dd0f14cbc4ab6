"""Blocks that tell a caller which argument is wrong, as an error of ours: Gradio would answer 500 and write a stack."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import gradio as gr
from gradio.route_utils import get_fn

from hypersd_app.errors import InvalidRequest
from hypersd_app.server.http.middleware import MALFORMED
from hypersd_app.ui.shell.errors import told

SHOWN_INPUTS = 40  # names in a message


class CheckedBlocks(gr.Blocks):
    """`gr.Blocks` whose arguments are checked before a handler sees them, whichever way they came: page, call, run or MCP."""

    def queue(self, *arguments: Any, **options: Any) -> gr.Blocks:
        """As `gr.Blocks.queue`, but a program's call with wrong arguments is refused at once, and not when its turn comes."""
        super().queue(*arguments, **options)
        push = self._queue.push

        async def checked_push(body: Any, request: Any, username: str | None) -> tuple[bool, Any, str]:
            fn = get_fn(self, None, body)
            try:
                if not fn.cancels:
                    with told():
                        check_count(fn, body.data)
                    if body.simple_format:
                        await self.preprocess_data(fn, list(body.data), None)
            except gr.Error as error:
                return False, error.message, "error"
            return await push(body, request, username)

        self._queue.push = checked_push  # type: ignore[method-assign, assignment]
        return self

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> list[Any]:
        """The arguments as a handler takes them. Raises gr.Error of an InvalidRequest that names the wrong one."""
        names = argument_names(block_fn)
        with told():
            check_count(block_fn, inputs)
            try:
                checked: list[Any] = await super().preprocess_data(block_fn, list(inputs), state, explicit_call)
                return checked
            except (*MALFORMED, OSError, gr.Error) as error:
                wrong = await self._wrong(block_fn, list(inputs), state, explicit_call)
                value = inputs[wrong]
                shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else value
                kind = block_fn.inputs[wrong].get_block_name()
                raise InvalidRequest(names[wrong], shown, f"what a field of kind {kind} takes") from error

    async def _wrong(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool) -> int:
        """The index of the first argument that can't be taken."""
        for index, block in enumerate(block_fn.inputs):
            alone = copy.copy(block_fn)
            alone.inputs, alone.component_prop_inputs = [block], [0] if index in block_fn.component_prop_inputs else []
            try:
                await super().preprocess_data(alone, [inputs[index]], state, explicit_call)
            except (*MALFORMED, OSError, gr.Error):
                return index
        return 0


def check_count(block_fn: Any, inputs: Any) -> None:
    """Raise InvalidRequest unless there is a value for each input of an event."""
    if isinstance(inputs, (list, tuple)) and len(inputs) == len(block_fn.inputs):
        return
    names = argument_names(block_fn)
    count = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
    raise InvalidRequest("data", count, f"{len(names)} arguments: {', '.join(names[:SHOWN_INPUTS]) or 'none'}")


def argument_names(block_fn: Any) -> list[str]:
    """The names of an event's inputs: those of its function's parameters where there are as many, else their labels."""
    labels = [str(getattr(block, "label", None) or f"argument {index}") for index, block in enumerate(block_fn.inputs)]
    try:
        parameters = list(inspect.signature(block_fn.fn).parameters)
    except (TypeError, ValueError):
        return labels
    return parameters if len(parameters) == len(labels) else labels
