"""`python -m hypersd_app bench`: milliseconds and GFLOP/s by part, against the plain diffusers call on the same weights."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image

from hypersd_app.bench.flops import ceiling_gflops, decoder_gflop, text_gflop, unet_gflop
from hypersd_app.bench.models import EmptyLoader, RandomLoader
from hypersd_app.catalog.specs import ModelSpec
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.loader import Loader
from hypersd_app.engine.plan import make_plan
from hypersd_app.engine.sampling.layout_cache import reads_layout
from hypersd_app.engine.sampling.schedules import new_scheduler
from hypersd_app.errors import InvalidRequest
from hypersd_app.images.metadata import result_png
from hypersd_app.images.png import encode_png
from hypersd_app.images.scribble import Pixels
from hypersd_app.requests import ControlInput, GenerationRequest
from hypersd_app.settings import Settings
from hypersd_app.system import available_bytes, peak_bytes, reset_peak
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

MODELS = ("pocket", "sd15", "sdxl")
SIDES = {"pocket": 256, "sd15": 512, "sdxl": 512}
PARTS = ("text", "control", "unet", "decode", "encode image", "other", "total")
FRESH_PROMPTS = 5
REFERENCE_MARGIN = 1.15  # what activations need beside the weights
NETWORKS = ("text", "control", "unet", "decode")  # what is left is our own


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One row: median milliseconds by part, and the plain diffusers call in float32 beside it."""

    model: str
    controlled: bool
    decoder: str
    backend: str
    milliseconds: dict[str, float]
    new_prompt: float = 0.0  # what `text` takes with words that were never drawn; in `milliseconds` they are cached
    gflop: dict[str, float] = field(default_factory=dict)
    ceiling: float = 0.0
    reference: float = 0.0
    peak_memory: int = 0  # bytes of this process, from before loading to the last image

    @property
    def speedup(self) -> float:
        """How many times faster than the plain call; 0 if that was not measured."""
        return self.reference / self.milliseconds["total"]

    @property
    def overhead(self) -> float:
        """What everything but the networks takes, PNG and its metadata included, as a share of the networks' time."""
        return self.milliseconds["total"] / self._networks - 1

    @property
    def overhead_of_encoding(self) -> float:
        """What the PNG and its metadata take, as a share of the networks' time."""
        return self.milliseconds["encode image"] / self._networks

    @property
    def _networks(self) -> float:
        return sum(self.milliseconds.get(name, 0.0) for name in NETWORKS)


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `bench`."""
    parser.add_argument("models", nargs="*", help="pocket, sd15, sdxl (default: pocket; the others run with random weights)")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--decoder", default="", help="full or tiny (default: full)")
    parser.add_argument("--control", choices=("both", "with", "without"), default="both")
    parser.add_argument("--no-reference", action="store_true", help="leave the plain diffusers call out")
    parser.add_argument("--reference-repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here too")


def run_bench(args: argparse.Namespace, settings: Settings) -> int:
    """Measure and print a table; returns the exit status. Raises HyperSDError."""
    models = args.models or ["pocket"]
    for name in models:
        if name not in MODELS:
            raise InvalidRequest("model", name, ", ".join(MODELS))
    rows = []
    for name in models:
        for row in measure_model(name, args, settings):
            sys.stdout.write(table(row) + "\n")
            rows.append(row)
    if args.json is not None:
        args.json.write_text(
            json.dumps([{**asdict(row), "speedup": row.speedup, "overhead": row.overhead} for row in rows], indent=2),
            encoding="utf-8",
        )
    return 0


def measure_model(name: str, args: argparse.Namespace, settings: Settings) -> Iterator[Measurement]:
    """The rows of one model: without and with a sketch."""
    hub = Hub(offline=True)
    loader: Loader = Loader(hub, torch.float32) if name == "pocket" else RandomLoader(hub, torch.float32, name)
    shapes = loader if name == "pocket" else EmptyLoader(hub, torch.float32, name)
    engine = Engine(settings, hub=hub, loader=loader)
    ceiling = ceiling_gflops(engine.hardware.dtype, engine.hardware.device)
    model = engine.catalog.model(name)
    for controlled in {"both": (False, True), "with": (True,), "without": (False,)}[args.control]:
        if controlled and not model.controls:
            logger.warning("%s has no ControlNet here", name)
            continue
        request = bench_request(engine, model, controlled, args.decoder)
        reset_peak()
        row = measure(engine, request, args.repeats)
        row = replace(row, peak_memory=peak_bytes(), ceiling=ceiling, gflop=count_gflop(shapes, engine, request))
        engine.close()  # the plain call needs the room
        if not args.no_reference and reference_fits(loader, engine, request):
            row = replace(row, reference=measure_reference(loader, engine, request, args.reference_repeats))
        yield row


def reference_fits(loader: Loader, engine: Engine, request: GenerationRequest) -> bool:
    """Whether the plain pipeline has room, which keeps all weights in float32."""
    size = loader.footprint(make_plan(engine.catalog, request).choice)
    needed, free = 4 * (size.text + size.unet + size.decoder + size.control), available_bytes()
    if REFERENCE_MARGIN * needed < free:
        return True
    logger.warning("plain diffusers is left out: its weights take %.1f GB and %.1f GB are free", needed / 1e9, free / 1e9)
    return False


def bench_request(engine: Engine, model: ModelSpec, controlled: bool, decoder: str) -> GenerationRequest:
    """One step of the fastest recipe (the fewest steps there are)."""
    recipe, side = model.recipes[0], SIDES[model.name]
    return GenerationRequest(
        "a red apple",
        model=model.name,
        recipe=recipe.name,
        num_inference_steps=recipe.default_steps,
        width=side,
        height=side,
        decoder=decoder,
        control=ControlInput(ring(side), model.controls[0].kind) if controlled else None,
    )


def ring(side: int) -> Pixels:
    """A drawn ring, white on black."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    return np.repeat(((np.abs(np.hypot(x, y) - 0.3) < 0.01) * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def measure(engine: Engine, request: GenerationRequest, repeats: int) -> Measurement:
    """Medians over `repeats` requests with a cached prompt, each from request to PNG bytes; then some with new prompts."""
    result = engine.generate(request)
    runs: list[dict[str, float]] = []
    for seed in range(repeats):
        started = time.perf_counter()
        result = engine.generate(replace(request, seed=seed))
        drawn = time.perf_counter()
        result_png(result)
        ended = time.perf_counter()
        parts = {name: value for name, value in result.milliseconds.items() if name != "total"}
        parts["encode image"] = (ended - drawn) * 1000
        parts["total"] = (ended - started) * 1000
        parts["other"] = parts["total"] - sum(value for name, value in parts.items() if name != "total")
        runs.append(parts)
    medians = {name: statistics.median(run[name] for run in runs) for name in PARTS if name in runs[0]}
    fresh = [replace(request, prompt=f"{request.prompt} {number}") for number in range(min(repeats, FRESH_PROMPTS))]
    text = statistics.median(engine.generate(wanted).milliseconds["text"] for wanted in fresh)
    return Measurement(
        model=request.model,
        controlled=request.control is not None,
        decoder=result.request.decoder,
        backend=result.backend,
        milliseconds=medians,
        new_prompt=text,
    )


def count_gflop(loader: Loader, engine: Engine, request: GenerationRequest) -> dict[str, float]:
    """GFLOP by part for one image, summed over the steps."""
    model = engine.catalog.model(request.model)
    recipe = next(row for row in model.recipes if row.name == request.recipe)
    unet, vae = loader.unet(model, recipe), loader.decoder(model, engine.catalog.decoder(model, request.decoder))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    assert request.width is not None
    assert request.height is not None
    size = (request.height // factor, request.width // factor)
    text = loader.text(model)
    tokens = int(text.tokenizers[0].model_max_length)
    counts = {
        "text": text_gflop(text.encoders, tokens),
        "unet": unet_gflop(unet, *size, tokens) * request.num_inference_steps,
        "decode": decoder_gflop(vae, *size),
    }
    if request.control is not None:
        controlnet = loader.controlnet(engine.catalog.control(model, request.control.kind))
        counts["control"] = unet_gflop(unet, *size, tokens, (controlnet, factor)) * request.num_inference_steps
    return counts


def measure_reference(loader: Loader, engine: Engine, request: GenerationRequest, repeats: int, device: str = "cpu") -> float:
    """Median milliseconds of diffusers' own pipeline in the loader's precision, its prompt encoded anew, to PNG bytes."""
    call = reference_call(loader, engine, request, device)
    call(0)
    spent = []
    for seed in range(repeats):
        started = time.perf_counter()
        image = call(seed)
        encode_png(image)
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)


def reference_call(loader: Loader, engine: Engine, request: GenerationRequest, device: str = "cpu") -> Callable[[int], Image.Image]:
    """The plain pipeline on the same weights, as a function of the seed."""
    model = engine.catalog.model(request.model)
    recipe = next(row for row in model.recipes if row.name == request.recipe)
    encoder = loader.text(model)
    large = model.family == "sdxl"
    parts: dict[str, Any] = {
        "vae": loader.decoder(model, engine.catalog.decoder(model, request.decoder)),
        "unet": loader.unet(model, recipe),
        "scheduler": new_scheduler(recipe, loader.scheduler_config(model)),
        "tokenizer": None,
        "text_encoder": None,
    }
    if large:
        parts |= {"tokenizer_2": None, "text_encoder_2": None}
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    kind = "StableDiffusionXL" if large else "StableDiffusion"
    arguments: dict[str, Any] = {}
    if request.control is not None:
        parts["controlnet"] = loader.controlnet(engine.catalog.control(model, request.control.kind))
        if reads_layout(parts["controlnet"]):
            parts["controlnet"].use_prior_of(parts["unet"])
        arguments = {"image": Image.fromarray(request.control.image), "controlnet_conditioning_scale": request.control.scale}
        kind += "ControlNet"
    pipeline = getattr(diffusers, f"{kind}Pipeline")(**parts)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    for module in encoder.encoders:
        module.to(device)

    def call(seed: int) -> Image.Image:
        text = encoder(request.prompt)
        embeddings = {"prompt_embeds": text.hidden} | ({} if text.pooled is None else {"pooled_prompt_embeds": text.pooled})
        with torch.inference_mode():
            return pipeline(
                **embeddings,
                **arguments,
                width=request.width,
                height=request.height,
                num_inference_steps=request.num_inference_steps,
                guidance_scale=0.0,
                generator=torch.Generator().manual_seed(seed),
            ).images[0]

    return call


def table(row: Measurement) -> str:
    """The row as text: parts down, figures across."""
    title = f"{row.model}{' with sketch' if row.controlled else ''}, {row.decoder} decoder, {row.backend}"
    lines = [title, f"  {'part':14}{'ms':>10}{'GFLOP':>10}{'GFLOP/s':>10}{'of ceiling':>12}"]
    times = {**row.milliseconds, "new prompt": row.new_prompt}
    for name, spent in times.items():
        work = row.gflop.get({"new prompt": "text", "text": ""}.get(name, name), 0.0)  # a cached prompt is no work
        rate = work / spent * 1000 if work else 0.0
        figures = f"{work:10.1f}{rate:10.0f}{rate / row.ceiling:12.0%}" if work and row.ceiling else ""
        lines.append(f"  {name:14}{spent:10.2f}{figures}")
    if row.ceiling:
        lines.append(f"  ceiling {row.ceiling:.0f} GFLOP/s (matrix product)")
    lines.append(
        f"  on top of the networks: {row.overhead:.0%}, the PNG's {row.overhead_of_encoding:.0%} among it;"
        f" peak memory {row.peak_memory / 1e9:.1f} GB"
    )
    if row.reference:
        lines.append(f"  plain diffusers, float32: {row.reference:.1f} ms, {row.speedup:.2f}x as long")
    return "\n".join(lines)
