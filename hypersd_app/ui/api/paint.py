"""The named endpoint for image to image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from hypersd_app.requests import USUAL_STRENGTH
from hypersd_app.ui.handlers import Handlers


def add_paint(handlers: Handlers, endpoint: Callable[..., None]) -> None:
    """Add `/paint` to the Blocks being built."""

    def paint(
        picture: str,
        prompt: str,
        strength: float,
        num_inference_steps: float,
        seed: float,
        model: str,
        recipe: str,
        negative_prompt: str,
        styles: str,
        mask: str | None = None,
        sketch: str | None = None,
    ) -> Any:
        """Change an image by words: all of it, or only what a mask says.

        Args:
            picture: An image file to start from, at most 25 megapixels; its middle is cut to the model's shape.
            prompt: What the image is to become, 1 to 500 characters.
            strength: How far to go, 0 to 1: 0 keeps the image, 1 forgets it. list_models says which strengths a recipe has.
            num_inference_steps: Steps, a whole number from 1 to 8; a named recipe has its own.
            seed: A whole number from 0 to 4294967295; the same seed gives the same image again.
            model: A name of list_models; empty for the default.
            recipe: A recipe of that model; empty for the first that allows the steps.
            negative_prompt: What to keep out; only recipes with guidance take one.
            styles: Styles of list_styles with weights, for example "ink:0.8, clay"; empty for none.
            mask: An image file of the same size. What is white in it, or painted on transparent paper, is made anew with a
                soft edge; the rest stays as it is. Left out, all of the image may change.
            sketch: An image file of a drawing whose lines are followed as well; may be left out.

        Returns:
            The image as a PNG file that carries its recipe: strength, and the hash of the image it started from.
        """
        values = {
            "prompt": prompt, "strength": strength, "num_inference_steps": num_inference_steps, "seed": seed, "model": model,
            "recipe": recipe, "negative_prompt": negative_prompt, "styles": styles,
        }  # fmt: skip
        return handlers.paint(picture, mask, sketch, values)

    endpoint(
        paint,
        [
            gr.File(label="picture", type="filepath"),
            gr.Textbox(label="prompt"),
            gr.Number(USUAL_STRENGTH, label="strength"),
            gr.Number(1, label="num_inference_steps"),
            gr.Number(0, label="seed"),
            *(gr.Textbox("", label=label) for label in ("model", "recipe", "negative_prompt", "styles")),
            gr.File(label="mask", type="filepath"),
            gr.File(label="sketch", type="filepath"),
        ],
        gr.Image(label="image", format="png", type="pil"),
    )
