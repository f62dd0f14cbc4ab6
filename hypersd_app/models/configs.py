"""Settings of our own in the config.json of a diffusers model."""

from __future__ import annotations

import inspect
from typing import Any


def signature_with(base: type[Any], name: str) -> inspect.Signature:
    """The constructor's signature of `base`, with one optional argument more."""
    found = inspect.signature(base.__init__)
    kept = [part for part in found.parameters.values() if part.kind is not inspect.Parameter.VAR_KEYWORD]
    return found.replace(parameters=[*kept, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)])
