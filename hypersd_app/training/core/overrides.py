"""Settings changed on the command line: `--override score.fake_lr=1e-5` of any frozen config."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from hypersd_app.errors import InvalidRequest

C = TypeVar("C")


def overridden(config: C, assignments: Sequence[str]) -> C:
    """`config` with each "a.b=value", in order. Values are Python literals; what is none is a text. Raises InvalidRequest."""
    for assignment in assignments:
        path, sign, text = assignment.partition("=")
        if not sign or not path.strip():
            raise InvalidRequest("override", assignment, "name=value, such as score.fake_lr=1e-5")
        config = _changed(config, path.strip().split("."), _value(text.strip()), assignment)
    return config


def _value(text: str) -> object:
    named = {"true": True, "false": False, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _changed(config: C, path: Sequence[str], value: object, assignment: str) -> C:
    known = [field.name for field in fields(config)] if is_dataclass(config) else []
    if path[0] not in known:
        raise InvalidRequest("override", assignment, ", ".join(known) or f"no further name before {path[0]}")
    old = getattr(config, path[0])
    if len(path) > 1:
        new = _changed(old, path[1:], value, assignment)
    else:
        new = _fitted(old, value, assignment)
    return replace(config, **{path[0]: new})  # type: ignore[type-var]


def _fitted(old: object, value: object, assignment: str) -> object:
    """The value in the type of the one it replaces; whole numbers may stand for others, one number for several."""
    if is_dataclass(old):
        raise InvalidRequest("override", assignment, "one of " + ", ".join(field.name for field in fields(old)))
    if isinstance(old, bool) or old is None:
        allowed = isinstance(value, bool) or old is None
    elif isinstance(old, float):
        allowed = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if allowed else value  # type: ignore[arg-type]
    elif isinstance(old, tuple):
        value = (value,) if isinstance(value, int | float) and not isinstance(value, bool) else value
        allowed, value = isinstance(value, list | tuple), tuple(value) if isinstance(value, list) else value
    else:
        allowed = type(value) is type(old)
    if not allowed:
        raise InvalidRequest("override", assignment, f"a value like {old!r}")
    return value
