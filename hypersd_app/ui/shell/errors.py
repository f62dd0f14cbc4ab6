"""HyperSDErrors turned into Gradio's errors."""

from __future__ import annotations

import functools
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr

from hypersd_app.errors import HyperSDError, InvalidRequest
from hypersd_app.server.http.answers import note_error
from hypersd_app.server.http.middleware import MALFORMED
from hypersd_app.ui.i18n.texts import text

logger = logging.getLogger(__name__)

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
    """Raise HyperSDErrors of the block as gr.Error, without a stack in the log; others tell nothing of the inside."""
    try:
        yield
    except gr.Error:
        raise
    except HyperSDError as error:
        note_error(error)
        raise gr.Error(str(error), title=text("error.title"), print_exception=False) from error
    except MALFORMED as error:
        # Arguments that no page sends. One line, with the place, in case that it is ours.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        logger.warning("a call with unfit arguments (%s, %s:%s)", type(error).__name__, Path(frame.filename).name, frame.lineno)
        told_as = InvalidRequest("data", "an argument of a wrong type", "what the page sends")
        note_error(told_as)
        raise gr.Error(str(told_as), title=text("error.title"), print_exception=False) from error
    except Exception as error:
        logger.exception("a call failed")
        raise gr.Error(text("error.unknown"), title=text("error.title"), print_exception=False) from error
