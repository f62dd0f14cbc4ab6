"""Named endpoints that list models and styles, rescan for them and add styles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from hypersd_app.catalog.specs import ModelSpec
from hypersd_app.errors import InvalidRequest
from hypersd_app.ui.api.endpoints import endpoint
from hypersd_app.ui.page_config import catalogue
from hypersd_app.ui.recipe_matching import model_of
from hypersd_app.ui.style_uploads import Library

SHARED = {"concurrency_limit": 1, "concurrency_id": "library"}


def add_library_endpoints(library: Library, default_model: str) -> None:
    """Add the endpoints to the Blocks being built."""

    def list_models() -> list[dict[str, Any]]:
        """List the models with their recipes, sizes, control kinds and decoders.

        Returns:
            One object a model: name, title, recipes with their steps, controls, decoders, and the axes compare can use.
        """
        rows = catalogue(library.engine)["models"]
        return [{name: value for name, value in row.items() if name != "styles"} for row in rows]

    def list_styles(model: str) -> list[dict[str, Any]]:
        """List the styles (LoRA files) that fit a model.

        Args:
            model: A name of list_models; empty for the default.

        Returns:
            One object a style: name, title, and the trigger words it adds to the prompt.
        """
        row: ModelSpec = model_of(library.engine, model or default_model)
        return [{"name": s.name, "title": s.title, "trigger": s.trigger} for s in library.engine.styles(row.name)]

    def rescan() -> dict[str, Any]:
        """Look again for models, styles and students trained here, without a restart.

        Returns:
            The names of all models, and of each model's styles.
        """
        return library.rescan()

    def add_style(file: str) -> dict[str, Any]:
        """Add a style: a LoRA file for one of the models. Refused on public servers.

        Args:
            file: A .safetensors file.

        Returns:
            Its name, the family of models it fits, its trigger words, and what its metadata says.
        """
        if not file:
            raise InvalidRequest("file", file, "a .safetensors file")
        report = library.add(Path(file))
        told = {name: getattr(report.style, name) for name in ("name", "title", "family", "trigger", "rank")}
        return {**told, "bytes": report.bytes, "metadata": dict(report.metadata)}

    with gr.Row(visible=False):
        endpoint(list_models, [], gr.JSON(label="models"))
        endpoint(list_styles, [gr.Textbox("", label="model")], gr.JSON(label="styles"))
        endpoint(rescan, [], gr.JSON(label="found"), **SHARED)
        endpoint(add_style, [gr.File(label="file", type="filepath")], gr.JSON(label="style"), **SHARED)
