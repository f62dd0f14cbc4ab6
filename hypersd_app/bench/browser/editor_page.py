"""The page that the drawing board is measured against: `gr.ImageEditor` beside `gr.Image`, over the same engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr
from PIL import Image

from hypersd_app.images.scribble import sketch_control
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.engines.protocol import ImageEngine

SIDE = 512


def editor_page(engine: ImageEngine, request: GenerationRequest) -> gr.Blocks:
    """Blocks that answer every change of the editor with `request`'s image for what was drawn."""

    def drawn(value: dict[str, Any] | None) -> Image.Image | None:
        if not value or value.get("composite") is None:
            return None
        return engine.generate(with_sketch(request, value["composite"])).images[0]

    with gr.Blocks(analytics_enabled=False) as page, gr.Row():
        editor = gr.ImageEditor(
            type="pil", sources=(), transforms=(), layers=False, canvas_size=(SIDE, SIDE), height=SIDE + 120,
            brush=gr.Brush(default_size=9, colors=["#22252b"], color_mode="fixed"), elem_id="editor",
        )  # fmt: skip
        output = gr.Image(format="jpeg", elem_id="output", height=SIDE)
        editor.change(drawn, editor, output, trigger_mode="always_last", show_progress="hidden")
    return page


def with_sketch(request: GenerationRequest, sketch: Image.Image) -> GenerationRequest:
    """`request` following `sketch`."""
    return replace(request, control=sketch_control(sketch, 1.0))
