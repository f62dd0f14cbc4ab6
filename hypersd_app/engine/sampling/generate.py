"""One batch of plans on an open pipeline: text, noise, steps, pixels. Runs under the device lock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hypersd_app.diffusion.guidance import is_guided
from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.model_manager import ModelManager, Pipeline
from hypersd_app.engine.plan import Plan
from hypersd_app.engine.sampling.denoise import ControlBatch, sample
from hypersd_app.engine.sampling.text import size_ids
from hypersd_app.engine.sampling.timing import Clock
from hypersd_app.errors import HyperSDError
from hypersd_app.images.scribble import Pixels

OnStep = Callable[..., None]  # (step, steps), and now and then (step, steps, picture)
PREVIEW_EVERY = 1.0  # seconds; short runs are over before they have one


@torch.inference_mode()
def render(
    pipelines: ModelManager, pipeline: Pipeline, plans: Sequence[Plan], clock: Clock, on_step: OnStep | None
) -> list[list[Pixels]]:
    """The pictures of each plan, uint8 (H, W, 3), in order; all plans share one pipeline key."""
    first, device = plans[0], pipeline.backend.hardware.torch_device
    guided = is_guided(first.guidance_scale)
    pipeline.denoiser.set_styles([(style, weight, factors["unet"]) for style, weight, factors in pipeline.styles])
    with clock("text"):
        conditioning = embeddings(pipelines, pipeline, plans, guided)
    factor = pipeline.decoder.factor
    shape = (pipeline.denoiser.in_channels, first.height // factor, first.width // factor)
    latents = sample(
        pipeline.denoiser,
        pipeline.schedulers.schedule(first.request.num_inference_steps, first.eta),
        [torch.Generator().manual_seed(seed) for plan in plans for seed in plan.seeds],
        shape,
        conditioning,
        device=device,
        guidance_scale=first.guidance_scale,
        control=control_batch(pipeline, plans, device),
        clock=clock,
        on_step=None if on_step is None else with_previews(pipeline, on_step, clock),
    )
    with clock("decode"):
        pixels = decode(pipeline, latents)
    pictures = iter(pixels)
    return [list(islice(pictures, plan.request.num_images)) for plan in plans]


def embeddings(pipelines: ModelManager, pipeline: Pipeline, plans: Sequence[Plan], guided: bool) -> Conditioning:
    """Text of every picture of the batch, the unguided half first where guidance needs one."""
    rows = [_row(pipelines, pipeline, plan, plan.prompt, negative=False) for plan in plans for _ in plan.seeds]
    if guided:
        without = [
            _row(pipelines, pipeline, plan, plan.request.negative_prompt.strip(), negative=True)
            for plan in plans
            for _ in plan.seeds
        ]
        rows = [*without, *rows]
    return Conditioning.stack(rows)


def _row(pipelines: ModelManager, pipeline: Pipeline, plan: Plan, text: str, *, negative: bool) -> Conditioning:
    words = pipeline.text.embed(pipeline.text_key, pipelines.prompts, text, negative, pipeline.styles)
    found = pipeline.denoiser.prepared(words)
    if found.pooled is None:
        return found
    return Conditioning(found.hidden, found.pooled, size_ids(plan.width, plan.height, found.pooled))


def control_batch(pipeline: Pipeline, plans: Sequence[Plan], device: torch.device) -> ControlBatch | None:
    """Every picture's control; a plan without one takes part with scale 0, which is the same as none."""
    if pipeline.control is None:
        return None
    pictures, scales = [], []
    for plan in plans:
        there = plan.pixels is not None and plan.request.control is not None
        pixels = plan.pixels if plan.pixels is not None else np.zeros((plan.height, plan.width, 3), np.uint8)
        scale = plan.request.control.scale if there and plan.request.control is not None else 0.0
        pictures += [pixels] * plan.request.num_images
        scales += [scale] * plan.request.num_images
    values = torch.from_numpy(np.stack(pictures)).to(device)
    return ControlBatch(pipeline.control, values, torch.tensor(scales, device=device).view(-1, 1, 1, 1))


def decode(pipeline: Pipeline, latents: Tensor) -> list[Pixels]:
    """Latents to pictures, uint8 (H, W, 3), one at a time: decoding is where memory peaks. Raises HyperSDError."""
    if not math.isfinite(float(latents.abs().sum())):
        raise HyperSDError(
            "The picture came out as not-a-number: the weights do not suit this precision, or a style is too strong."
        )
    # Copied, for the next call may overwrite what this one gave.
    return [np.array(pipeline.decoder(row)[0].cpu()) for row in latents.split(1)]


def with_previews(pipeline: Pipeline, on_step: OnStep, clock: Clock) -> Callable[[int, int, Tensor], None]:
    """A sampling callback that adds a decoded picture of the first latents to `on_step`, once in a while."""
    shown = time.perf_counter()

    def report(step: int, steps: int, latents: Tensor) -> None:
        nonlocal shown
        if step == steps or time.perf_counter() - shown < PREVIEW_EVERY:
            on_step(step, steps)
            return
        with clock("preview"):
            picture = Image.fromarray(decode(pipeline, latents[:1])[0])
        shown = time.perf_counter()
        on_step(step, steps, picture)

    return report
