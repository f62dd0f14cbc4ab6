"""The one place where our errors become Gradio's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import gradio as gr

from hypersd_app.errors import HyperSDError
from hypersd_app.ui.texts import text

P = ParamSpec("P")
R = TypeVar("R")


def for_people(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler` with every HyperSDError raised as gr.Error of the same message; name, types and docs are kept."""

    @functools.wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except HyperSDError as error:
            raise gr.Error(str(error), title=text("error.title"), print_exception=False) from error

    return wrapped
