"""Named endpoints for programs and MCP, on hidden components of their own: changes to the page do not change the API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from hypersd_app.images.files import decode_image
from hypersd_app.ui.animation import FRAME_PIXELS, MAX_FRAMES, animated, check_frames
from hypersd_app.ui.api.paint import add_paint
from hypersd_app.ui.api.stickers import add_stickers
from hypersd_app.ui.handlers import Handlers
from hypersd_app.ui.shell.errors import for_people


def add_named_endpoints(handlers: Handlers) -> None:
    """Add the endpoints that make or read images to the Blocks being built; `api/library.py` has the others."""
    with gr.Row(visible=False):
        _add_text_to_image(handlers)
        _add_scribble(handlers)
        add_paint(handlers, endpoint)
        add_stickers(handlers, endpoint)
        _add_compare(handlers)
        _add_recipes(handlers)
        _add_annotate(handlers)
        _add_animate(handlers)


def endpoint(function: Callable[..., Any], inputs: Sequence[Any], output: Any, **options: Any) -> None:
    """Register `function` as an endpoint of the same name."""
    shown = {"api_name": function.__name__, "concurrency_limit": 4, **options}
    gr.Button().click(for_people(function), list(inputs), output, **shown)


def values_of(words: str) -> list[str]:
    """Split values separated by |."""
    return [value.strip() for value in words.split("|") if value.strip()]


def _texts(*labels: str) -> list[gr.Textbox]:
    """Optional text parameters."""
    return [gr.Textbox("", label=label) for label in labels]


def _add_text_to_image(handlers: Handlers) -> None:
    def text_to_image(
        prompt: str,
        num_inference_steps: float,
        seed: float,
        num_images: float,
        model: str,
        recipe: str,
        negative_prompt: str,
        styles: str,
        guidance_scale: float | None = None,
        eta: float | None = None,
        width: float | None = None,
        height: float | None = None,
    ) -> list[Any]:
        """Make images from words with a few-step diffusion model.

        Args:
            prompt: What to draw, 1 to 500 characters, for example "a red apple".
            num_inference_steps: Steps, a whole number from 1 to 8; 1 is fastest, more adds detail. A named recipe has its own.
            seed: A whole number from 0 to 4294967295; the same seed gives the same image again.
            num_images: How many images, 1 to 8; image i uses seed + i.
            model: A name of list_models; empty for the default.
            recipe: A recipe of that model; empty for the first that allows the steps.
            negative_prompt: What to keep out; only recipes with guidance take one.
            styles: Styles of list_styles with weights, for example "ink:0.8, clay"; empty for none.
            guidance_scale: Only for recipes with guidance; left out, the recipe's own.
            eta: Fresh noise between steps, 0 to 1, from two steps on; left out, the recipe's own.
            width: Pixels, only for models with more than one size; left out, the model's own.
            height: As width.

        Returns:
            The images as PNG files that carry their recipes.
        """
        return handlers.text_to_image(
            {
                "prompt": prompt, "num_inference_steps": num_inference_steps, "seed": seed, "num_images": num_images,
                "model": model, "recipe": recipe, "negative_prompt": negative_prompt, "styles": styles,
                "guidance_scale": guidance_scale, "eta": eta, "width": width, "height": height,
            }
        )  # fmt: skip

    numbers = [gr.Number(value, label=label) for label, value in (("num_inference_steps", 1), ("seed", 0), ("num_images", 1))]
    left_out = [gr.Number(None, label=label) for label in ("guidance_scale", "eta", "width", "height")]
    endpoint(
        text_to_image,
        [gr.Textbox(label="prompt"), *numbers, *_texts("model", "recipe", "negative_prompt", "styles"), *left_out],
        gr.Gallery(label="images", format="png"),
    )


def _add_scribble(handlers: Handlers) -> None:
    def scribble(
        sketch: str,
        prompt: str,
        num_inference_steps: float,
        controlnet_conditioning_scale: float,
        seed: float,
        model: str,
        styles: str,
        control: str,
    ) -> Any:
        """Turn a line drawing into an image that keeps its lines.

        Args:
            sketch: An image file of a drawing on light or dark paper, at most 25 megapixels; coloured lines ask for their colour.
            prompt: What the drawing shows, 1 to 500 characters.
            num_inference_steps: Steps of the model, a whole number from 1 to 8.
            controlnet_conditioning_scale: How closely to follow the lines, 0 to 2; 1 is usual.
            seed: A whole number from 0 to 4294967295; the same seed gives the same image again.
            model: A name of list_models that follows drawings; empty for the default.
            styles: Styles of list_styles with weights, for example "ink:0.8, clay"; empty for none.
            control: What the lines are read as: scribble, or another control kind of the model.

        Returns:
            The image as a PNG file that carries its recipe.
        """
        values = {
            "prompt": prompt, "num_inference_steps": num_inference_steps, "seed": seed, "model": model, "styles": styles,
            "controlnet_conditioning_scale": controlnet_conditioning_scale, "control": control,
        }  # fmt: skip
        return handlers.scribble(sketch, values)

    endpoint(
        scribble,
        [
            gr.File(label="sketch", type="filepath"),
            gr.Textbox(label="prompt"),
            gr.Number(1, label="num_inference_steps"),
            gr.Number(1.0, label="controlnet_conditioning_scale"),
            gr.Number(0, label="seed"),
            *_texts("model", "styles"),
            gr.Textbox("scribble", label="control"),
        ],
        gr.Image(label="image", format="png", type="pil"),
    )


def _add_compare(handlers: Handlers) -> None:
    def compare(
        prompt: str,
        x: str,
        x_values: str,
        y: str,
        y_values: str,
        seed: float,
        num_inference_steps: float,
        model: str,
        styles: str,
        sketch: str | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Lay one prompt and seed out over one or two axes, to see what each choice does.

        Args:
            prompt: What to draw, 1 to 500 characters.
            x: What changes from left to right: steps, recipe, style, weight, scale, control, guidance, eta, seed, prompt, model
                or decoder.
            x_values: Its values with | between, as "1 | 2 | 4" for steps, "unified@1 | teacher@25" for recipe.
            y: What changes from top to bottom, as for x; empty for nothing.
            y_values: Its values with | between.
            seed: A whole number from 0 to 4294967295, the same for all images unless an axis changes it.
            num_inference_steps: Steps, 1 to 8, unless an axis changes them; a recipe takes the nearest it was made for.
            model: A name of list_models; empty for the default.
            styles: Styles of list_styles with weights, for example "ink:0.8, clay"; empty for none.
            sketch: An image file of a drawing that all images follow; may be left out.

        Returns:
            A contact sheet as a PNG file, and what each place of it shows with its time in milliseconds. The sheet carries the
            recipe: dropped on the page, it makes the grid again.
        """
        axes = {"x": x.strip(), "xs": values_of(x_values), "y": y.strip(), "ys": values_of(y_values)}
        values = {"prompt": prompt, "seed": seed, "num_inference_steps": num_inference_steps, "model": model, "styles": styles}
        return handlers.compare(values, axes, sketch)

    endpoint(
        compare,
        [
            gr.Textbox(label="prompt"),
            gr.Textbox("steps", label="x"),
            gr.Textbox("1 | 2 | 4 | 8", label="x_values"),
            *_texts("y", "y_values"),
            gr.Number(0, label="seed"),
            gr.Number(1, label="num_inference_steps"),
            *_texts("model", "styles"),
            gr.File(label="sketch", type="filepath"),
        ],
        [gr.Image(label="sheet", format="png", type="pil"), gr.JSON(label="pictures")],
        concurrency_limit=1,
    )


def _add_recipes(handlers: Handlers) -> None:
    def recipe_from_png(picture: str) -> dict[str, Any]:
        """Read the recipe inside a PNG that this studio, or A1111, made.

        Args:
            picture: A PNG file.

        Returns:
            The request as "head", the strokes of the drawing board as "operations", and for a contact sheet its axes as "compare".
        """
        return handlers.recipe_from_png(picture)

    def make_again(picture: str) -> Any:
        """Make the image of a PNG's recipe again, from its prompt, seed, styles and sketch.

        Args:
            picture: A PNG file that this studio made.

        Returns:
            The image as a PNG file.
        """
        return handlers.make_again(picture)

    endpoint(recipe_from_png, [gr.File(label="picture", type="filepath")], gr.JSON(label="recipe"))
    endpoint(make_again, [gr.File(label="picture", type="filepath")], gr.Image(label="image", format="png", type="pil"))


def _add_annotate(handlers: Handlers) -> None:
    def annotate(photograph: str, control: str, model: str) -> Any:
        """Turn a photograph into what a control kind of a model follows: edges, lines or depth.

        Args:
            photograph: An image file, at most 25 megapixels.
            control: A control kind of the model, see list_models.
            model: A name of list_models; empty for the default.

        Returns:
            The control image as a PNG file, white on black.
        """
        return handlers.annotate(photograph, control, model)

    endpoint(
        annotate,
        [gr.File(label="photograph", type="filepath"), gr.Textbox("scribble", label="control"), *_texts("model")],
        gr.Image(label="image", format="png", type="pil"),
        concurrency_limit=1,
    )


def _add_animate(handlers: Handlers) -> None:
    def animate(pictures: list[str], milliseconds: float) -> str:
        """Join images to an endless GIF, the last one held for a second.

        Args:
            pictures: Image files, 1 to 400.
            milliseconds: How long each is shown, 20 or more.

        Returns:
            The GIF file.
        """
        paths = pictures or []
        check_frames(len(paths))
        frames = [decode_image(handlers.bounded(path, "pictures"), "pictures", FRAME_PIXELS * 4).convert("RGB") for path in paths]
        path: str = save_bytes_to_cache(animated(frames, int(milliseconds)), "session.gif", animation.GRADIO_CACHE)
        return path

    animation = gr.File(label="animation")
    endpoint(
        animate,
        [gr.File(label=f"pictures, at most {MAX_FRAMES}", file_count="multiple"), gr.Number(120, label="milliseconds")],
        animation,
        concurrency_limit=1,
    )
