"""Named endpoints for programs and MCP: their own hidden components, so that a redesign of the page breaks nobody."""

from __future__ import annotations

from typing import Any

import gradio as gr

from hypersd_app.ui.errors import for_people
from hypersd_app.ui.handlers import Handlers


def add_named_endpoints(handlers: Handlers) -> None:
    """Add `/text_to_image` and `/scribble` to the Blocks being built."""
    with gr.Row(visible=False):
        _add_text_to_image(handlers)
        _add_scribble(handlers)


def _add_text_to_image(handlers: Handlers) -> None:
    def text_to_image(prompt: str, num_inference_steps: float, seed: float, num_images: float) -> list[Any]:
        """Make pictures from words with a few-step diffusion model.

        Args:
            prompt: What to draw, 1 to 500 characters, for example "a red apple".
            num_inference_steps: Steps of the model, a whole number from 1 to 8; 1 is fastest, more adds detail.
            seed: A whole number from 0 to 4294967295; the same seed gives the same picture again.
            num_images: How many pictures, 1 to 8; picture i uses seed + i.

        Returns:
            The pictures as PNG files.
        """
        return list(handlers.text_to_image(prompt, num_inference_steps, seed, num_images))

    gr.Button().click(
        for_people(text_to_image),
        [
            gr.Textbox(label="prompt"),
            gr.Number(1, label="num_inference_steps"),
            gr.Number(0, label="seed"),
            gr.Number(1, label="num_images"),
        ],
        gr.Gallery(label="images", format="png"),
        api_name="text_to_image",
        concurrency_limit=4,
    )


def _add_scribble(handlers: Handlers) -> None:
    def scribble(
        sketch: str,
        prompt: str,
        num_inference_steps: float,
        controlnet_conditioning_scale: float,
        seed: float,
    ) -> Any:
        """Turn a line drawing into a picture that keeps its lines.

        Args:
            sketch: A picture file of a drawing, dark lines on light paper or light lines on dark, at most 25 megapixels.
            prompt: What the drawing shows, 1 to 500 characters.
            num_inference_steps: Steps of the model, a whole number from 1 to 8.
            controlnet_conditioning_scale: How closely to follow the lines, 0 to 2; 1 is usual.
            seed: A whole number from 0 to 4294967295; the same seed gives the same picture again.

        Returns:
            The picture as a PNG file.
        """
        return handlers.scribble(sketch, prompt, num_inference_steps, controlnet_conditioning_scale, seed)

    gr.Button().click(
        for_people(scribble),
        [
            gr.File(label="sketch", type="filepath"),
            gr.Textbox(label="prompt"),
            gr.Number(1, label="num_inference_steps"),
            gr.Number(1.0, label="controlnet_conditioning_scale"),
            gr.Number(0, label="seed"),
        ],
        gr.Image(label="image", format="png", type="pil"),
        api_name="scribble",
        concurrency_limit=4,
    )
