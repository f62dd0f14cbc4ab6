"""Calls of the page's scripts besides frames: recipes, grids, control images, what a model makes of words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hypersd_app.images.files import decode_image
from hypersd_app.images.metadata import file_name
from hypersd_app.requests import request_from_json
from hypersd_app.server.engines.protocol import BorrowingEngine, ImageEngine
from hypersd_app.server.http.png_recipes import png_bytes, read_recipe, with_recipe
from hypersd_app.server.http.wire import Message
from hypersd_app.server.service import BoardService, lazy_request
from hypersd_app.ui.calls.catalogue import catalogue_calls
from hypersd_app.ui.calls.files import PageCall, file_calls
from hypersd_app.ui.compare.grid import make_grid
from hypersd_app.ui.control_images import control_image
from hypersd_app.ui.prompt_reading import read_prompt
from hypersd_app.ui.recipe_matching import with_known_names
from hypersd_app.ui.suggestions import suggestions


def page_calls(service: BoardService, engine: ImageEngine, default_model: str) -> Mapping[str, PageCall]:
    """The calls by name; each takes JSON values and bytes, and answers JSON. They raise HyperSDError."""

    def save_png(values: dict[str, Any], sketch: bytes) -> dict[str, Any]:
        """A recipe's image at full quality (the full decoder), as PNG with the recipe inside."""
        head = {**values["head"], "decoder": "", "num_images": 1}
        request = lazy_request(Message(0, head, sketch if len(sketch) > 1 else b""), service.limits)[0].build()
        result = service.generate(request, key=head.get("visitor_key"))
        image = with_recipe(result.images[0], result.request, values.get("operations", ()), bool(head.get("rest")))
        return {"png": base64.b64encode(png_bytes(image)).decode(), "name": file_name(result.request)}

    def read_png(_values: dict[str, Any], data: bytes) -> dict[str, Any]:
        """The recipe inside a dropped PNG."""
        return read_recipe(data)

    def known_names(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """A recipe's head as this server can draw it, and the names of what it lacks."""
        head, missing = with_known_names(engine, default_model, values["head"])
        return {"head": head, "missing": missing}

    def grid(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """The requests and labels of a compared grid."""
        made = make_grid(engine, values["head"], values["axes"])
        cells = [{"row": cell.row, "column": cell.column, "head": cell.values} for cell in made.cells]
        seconds = lent_seconds(engine, [cell.values for cell in made.cells])
        return {"columns": made.columns, "rows": made.rows, "cells": cells, "lent": seconds}

    def annotate(values: dict[str, Any], photograph: bytes) -> dict[str, Any]:
        """The control image that a control kind reads in a photograph, as a grey PNG."""
        image = decode_image(photograph, "photograph", service.limits.image_pixels)
        found = control_image(engine, str(values.get("model")), values.get("kind"), image)
        return {"png": base64.b64encode(png_bytes(found.convert("L"))).decode()}

    def reading(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """What a model makes of a prompt: words that it does not read, and things it does not know."""
        model, prompt, grammar = (str(values.get(name) or "") for name in ("model", "prompt", "prompt_grammar"))
        return asdict(read_prompt(engine, model, prompt, grammar))

    def suggest(values: dict[str, Any], _nothing: bytes) -> dict[str, Any]:
        """Things that a model knows, for the end of a prompt that is being typed."""
        return asdict(suggestions(engine, str(values.get("model")), str(values.get("prompt"))))

    calls = (save_png, read_png, known_names, grid, annotate, reading, suggest)
    return {**{call.__name__: call for call in calls}, **file_calls(service.limits), **catalogue_calls(engine)}


def lent_seconds(engine: ImageEngine, heads: Sequence[Mapping[str, Any]]) -> list[int]:
    """Seconds of a device that images would borrow, by call; [] where none is lent. Raises InvalidRequest."""
    return engine.lent_seconds([request_from_json(head) for head in heads]) if isinstance(engine, BorrowingEngine) else []
