"""How much a function does, counted in lines of this package that are run and not in seconds: the same on a busy machine."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from hypersd_app.settings import ROOT

PACKAGE = str(ROOT / "hypersd_app")


def lines_run(function: Callable[..., Any], *arguments: Any) -> int:
    """Lines of the package that run until `function` has returned or raised."""
    count = 0

    def each(_frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal count
        count += event == "line"
        return each

    def calls(frame: FrameType, _event: str, _value: Any) -> Any:
        return each if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(calls)
    try:
        with contextlib.suppress(Exception):  # refusing is an answer; what it cost is what is asked for
            function(*arguments)
    finally:
        sys.settrace(before)
    return count
