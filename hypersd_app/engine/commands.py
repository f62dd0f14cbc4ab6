"""`python -m hypersd_app generate`: text, sketch, styles, recipe, seeds and batch to PNG files."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from hypersd_app.errors import InvalidRequest
from hypersd_app.images.files import decode_image
from hypersd_app.images.painting import init_image
from hypersd_app.images.scribble import scribble_control
from hypersd_app.requests import USUAL_STRENGTH, ControlInput, GenerationRequest, InitImage, StyleWeight
from hypersd_app.settings import Settings

if TYPE_CHECKING:
    from hypersd_app.catalog.specs import Recipe
    from hypersd_app.engine.engine import Engine

logger = logging.getLogger(__name__)


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `generate`; what is left out takes the recipe's value."""
    parser.add_argument("prompt", nargs="?", default="", help="what to draw")
    parser.add_argument("--negative-prompt", default="", help="what to avoid; only recipes with guidance take one")
    parser.add_argument("--model", help="a model of the catalogue, or a file or folder name in the models folder")
    parser.add_argument("--recipe", default="", help="how to run it (default: the first that allows the steps)")
    parser.add_argument("--steps", type=int, help="inference steps (default: the fewest of the recipe)")
    parser.add_argument("--guidance-scale", type=float)
    parser.add_argument("--eta", type=float)
    parser.add_argument("--seed", metavar="N[,N...]", help="image i of --count uses seed + i; several: each in turn (default: 0)")
    parser.add_argument("--count", type=int, help="images (default: 1)")
    parser.add_argument("--width", type=int)
    parser.add_argument("--height", type=int)
    parser.add_argument("--style", action="append", default=[], metavar="NAME[:WEIGHT]", help="may be given several times")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--sketch", type=Path, help="a drawing, dark on light or light on dark")
    source.add_argument("--photo", type=Path, help="an image that --control's detector turns into lines, edges or depth")
    parser.add_argument("--init", type=Path, help="an image to paint on: image to image")
    parser.add_argument("--strength", type=float, help="0 keeps the image, 1 forgets it (default: 0.6)")
    parser.add_argument("--mask", type=Path, help="of the image's size: only what is white, or painted on transparent, is redone")
    parser.add_argument("--control", default="scribble", help="kind of control (default: scribble)")
    parser.add_argument("--control-scale", type=float, help="how strongly (default: the ControlNet's own)")
    parser.add_argument("--decoder", default="", help="full or tiny")
    parser.add_argument("--again", type=Path, metavar="PNG", help="make an image of this app again; other options change it")
    parser.add_argument("-o", "--output", type=Path, default=Path("."), help="a folder, or a .png file for one image")
    parser.add_argument("--list", action="store_true", help="print models, recipes and styles, draw nothing")


def run_generate(args: argparse.Namespace, settings: Settings) -> int:
    """Draw and write; returns the exit status. Raises HyperSDError."""
    from hypersd_app.engine.engine import Engine
    from hypersd_app.images.metadata import file_name, request_of, result_png

    engine = Engine(settings)
    try:
        if args.list:
            print_catalogue(engine)
            return 0
        base, seeds = command_request(args, settings, engine), parse_seeds(args.seed)
        requests = [replace(base, seed=seed) for seed in seeds] or [base]
        for request in requests:
            result = engine.generate(request, lambda share, text, *_: logger.info("%3.0f%% %s", 100 * share, text))
            for index in range(len(result.images)):
                name = file_name(request_of(result, index))
                path = output_path(args.output, name, len(requests) * len(result.images))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(result_png(result, index))
                say(str(path))
            logger.info("%s: %s", result.backend, ", ".join(f"{part} {ms:.1f} ms" for part, ms in result.milliseconds.items()))
        return 0
    finally:
        engine.close()


def say(text: str) -> None:
    """A line on standard output, which belongs to results; the log goes to standard error."""
    sys.stdout.write(f"{text}\n")


def print_catalogue(engine: Engine) -> None:
    """One line a model, indented lines for its recipes and styles."""
    from hypersd_app.catalog.validation import spoken

    for model in engine.models():
        say(f"{model.name}: {model.title}, {model.width}x{model.height}, from {model.source}")
        for recipe in model.recipes:
            say(f"  recipe {recipe.name}: {recipe.title}; {spoken(recipe.steps)}; {strengths(recipe)}")
        for control in model.controls:
            say(f"  control {control.kind}: {control.source}")
        for style in engine.styles(model.name):
            say(f"  style {style.name}: {style.title}" + (f" ({style.trigger})" if style.trigger else ""))


def strengths(recipe: Recipe) -> str:
    """What --strength may be with a recipe, in words."""
    allowed = recipe.strengths
    if allowed is None:
        return "any strength"
    return f"strength {', '.join(f'{value:.2g}' for value in allowed)}" if allowed else "no init image"


def command_request(args: argparse.Namespace, settings: Settings, engine: Engine) -> GenerationRequest:
    """The request that the arguments describe. Raises InvalidRequest."""
    from hypersd_app.images.metadata import read_request

    init = _init(args)
    if args.again is not None:
        base = read_request(args.again, init, args.strength)
    else:
        model = args.model or settings.default_model
        rows = [row for row in engine.recipes(model) if row.name == args.recipe] or list(engine.recipes(model))
        base = GenerationRequest(args.prompt, model=model, num_inference_steps=rows[0].default_steps, init=init)
    given = {
        "prompt": args.prompt,
        "negative_prompt": args.negative_prompt,
        "model": args.model,
        "recipe": args.recipe,
        "num_inference_steps": args.steps,
        "guidance_scale": args.guidance_scale,
        "eta": args.eta,
        "num_images": args.count,
        "width": args.width,
        "height": args.height,
        "decoder": args.decoder,
        "styles": tuple(parse_style(text) for text in args.style),
    }
    changed = {name: value for name, value in given.items() if value not in (None, "", ())}
    return replace(base, **changed, control=_control(args, engine, replace(base, **changed)) or base.control)


def _init(args: argparse.Namespace) -> InitImage | None:
    if args.init is None:
        for name in ("mask", "strength"):
            if getattr(args, name) is not None:
                raise InvalidRequest(name, getattr(args, name), "nothing without --init")
        return None
    strength = USUAL_STRENGTH if args.strength is None else args.strength
    mask = None if args.mask is None else decode_image(args.mask, "mask")
    return init_image(decode_image(args.init, "init"), strength, mask)


def _control(args: argparse.Namespace, engine: Engine, request: GenerationRequest) -> ControlInput | None:

    if args.sketch is None and args.photo is None:
        return None
    model = engine.catalog.model(request.model)
    row = engine.catalog.control(model, args.control)
    scale = row.scale if args.control_scale is None else args.control_scale
    size = (request.width or model.width, request.height or model.height)
    if args.sketch is not None:
        return ControlInput(scribble_control(open_image(args.sketch), size), args.control, scale)
    return ControlInput(engine.annotate(row.annotator, open_image(args.photo), size), args.control, scale)


def open_image(path: Path) -> Image.Image:
    """An image file, decoded as the page and the API decode it. Raises InvalidRequest."""
    return decode_image(path, "image")


def parse_seeds(text: str | None) -> list[int]:
    """`1,5,9` as numbers, [] for none. Raises InvalidRequest."""
    try:
        return [] if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidRequest("seed", text, "whole numbers with commas between") from None


def parse_style(text: str) -> StyleWeight:
    """`ink` or `ink:0.8`. Raises InvalidRequest."""
    name, _, weight = text.partition(":")
    try:
        return StyleWeight(name, float(weight) if weight else 1.0)
    except ValueError:
        raise InvalidRequest("style", text, "NAME or NAME:WEIGHT") from None


def output_path(output: Path, name: str, count: int) -> Path:
    """Where to write: `output` itself if it is a .png and one image is made, numbered beside it for more."""
    if output.suffix.lower() != ".png":
        return output / name
    return output if count == 1 else output.with_name(f"{output.stem}-{name}")
