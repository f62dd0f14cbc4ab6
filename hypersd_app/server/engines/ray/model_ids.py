"""Names of what a replica may have in memory, for Ray Serve's model multiplexing: a base, with the styles on it."""

from __future__ import annotations

import json

from hypersd_app.requests import GenerationRequest


def model_id(request: GenerationRequest) -> str:
    """The name of what `request` draws with. Weights of styles are no part of it: they are set in no time."""
    return json.dumps([request.model, *sorted(style.name for style in request.styles)])


def base_of(name: str) -> str:
    """The base of a name made by `model_id`."""
    return str(json.loads(name)[0])
