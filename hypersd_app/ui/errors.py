"""HyperSDErrors turned into Gradio's errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from hypersd_app.errors import HyperSDError
from hypersd_app.ui.i18n.texts import text

P = ParamSpec("P")
R = TypeVar("R")


def for_people(handler: Callable[P, R]) -> Callable[P, R]:
    """`handler` with every HyperSDError raised as gr.Error of the same message; name, types and docs are kept."""

    @functools.wraps(handler)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with told():
            return handler(*args, **kwargs)

    @functools.wraps(handler)
    def stepwise(*args: P.args, **kwargs: P.kwargs) -> Iterator[Any]:
        with told():
            yield from cast(Iterator[Any], handler(*args, **kwargs))

    return cast(Callable[P, R], stepwise) if inspect.isgeneratorfunction(handler) else wrapped


@contextmanager
def told() -> Iterator[None]:
    """Raise HyperSDErrors of the block as gr.Error."""
    try:
        yield
    except HyperSDError as error:
        raise gr.Error(str(error), title=text("error.title"), print_exception=False) from error
