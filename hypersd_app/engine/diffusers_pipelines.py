"""SD3 and FLUX through diffusers' own pipelines: they need a GPU, where the lean loop would gain little."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import ModelSpec, Recipe
from hypersd_app.engine.device_time import Clock
from hypersd_app.engine.loading.loader import readable, variant, weight_files
from hypersd_app.engine.memory.budget import module_bytes
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Loaded
from hypersd_app.engine.memory.placement import Tier
from hypersd_app.engine.plan import Plan
from hypersd_app.errors import InvalidRequest
from hypersd_app.images.scribble import Pixels
from hypersd_app.weights.downloads import Progress
from hypersd_app.weights.hub import Hub

logger = logging.getLogger(__name__)

CLASSES = {"sd3": "StableDiffusion3Pipeline", "flux": "FluxPipeline"}
COMPONENTS = {
    "sd3": ("tokenizer", "tokenizer_2", "tokenizer_3", "text_encoder", "text_encoder_2", "text_encoder_3"),
    "flux": ("tokenizer", "tokenizer_2", "text_encoder", "text_encoder_2"),
}
SHARED = ("", "scheduler", "transformer", "vae")
WEIGHTS = ("text_encoder", "text_encoder_2", "text_encoder_3", "transformer", "vae")

StepReport = Callable[[int, int], None]


@dataclass(frozen=True)
class DiffusersSizes:
    """Bytes of all parts of a pipeline together, and of its largest part."""

    total: int
    largest: int

    def tier(self, hardware: Hardware, budget: int) -> Tier:
        """Where the weights stay: on the device if they fit, else diffusers moves parts, or layers if a part doesn't fit."""
        if hardware.device != "cuda" or self.total <= budget:
            return Tier.RESIDENT
        return Tier.MODEL_OFFLOAD if self.largest <= budget else Tier.SEQUENTIAL_OFFLOAD

    def on_device(self, tier: Tier) -> int:
        """Bytes of weights that are on the device at once."""
        return {Tier.RESIDENT: self.total, Tier.MODEL_OFFLOAD: self.largest, Tier.SEQUENTIAL_OFFLOAD: 0}[tier]


def sizes_of(hub: Hub, model: ModelSpec, hardware: Hardware, progress: Progress | None) -> DiffusersSizes:
    """Sizes by the files' headers. Raises ModelUnavailable."""
    root = model_folder(hub, model, progress)
    numbers = [sum(read_header(path).numbers() for path in weight_files(root / part)) for part in WEIGHTS]
    return DiffusersSizes(sum(numbers) * hardware.dtype.itemsize, max(numbers) * hardware.dtype.itemsize)


def model_folder(hub: Hub, model: ModelSpec, progress: Progress | None) -> Path:
    """The model's files. Raises ModelUnavailable."""
    return hub.folder(model.source, [*SHARED, *COMPONENTS[model.family]], progress)


def load_diffusers(hub: Hub, model: ModelSpec, recipe: Recipe, hardware: Hardware, tier: Tier, progress: Progress | None) -> Loaded:
    """The whole pipeline, its accelerating LoRA fused. Raises ModelUnavailable."""
    root = model_folder(hub, model, progress)
    # Where a component has one set only, diffusers takes that, whatever the variant: SD3's text encoders come in half, its
    # transformer in full.
    half = next((found for found in (variant(root / part) for part in WEIGHTS) if found), None)
    with readable(model.source):
        kind = getattr(diffusers, CLASSES[model.family])
        pipeline = kind.from_pretrained(root, torch_dtype=hardware.dtype, variant=half, use_safetensors=True, local_files_only=True)
        if recipe.lora is not None:
            path = hub.file(recipe.lora, progress)
            pipeline.load_lora_weights(str(path.parent), weight_name=path.name)
            pipeline.fuse_lora(lora_scale=recipe.lora_scale)
            pipeline.unload_lora_weights()
    pipeline.set_progress_bar_config(disable=True)
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    sizes = [module_bytes(part) for part in parts]
    if tier is Tier.RESIDENT:
        pipeline.to(hardware.torch_device)
    elif tier is Tier.MODEL_OFFLOAD:
        pipeline.enable_model_cpu_offload(device=hardware.torch_device)
    else:
        pipeline.enable_sequential_cpu_offload(device=hardware.torch_device)
    return Loaded(pipeline, DiffusersSizes(sum(sizes), max(sizes)).on_device(tier), pipeline.remove_all_hooks)


class DiffusersPipeline:
    """A pipeline of diffusers' own, called like those that are made of parts."""

    def __init__(self, pipeline: Any, label: str, synchronize: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self.label = label
        self.synchronize = synchronize
        self.resume = None  # its scheduler counts the steps of one run

    @torch.inference_mode()
    def render(self, plans: Sequence[Plan], clock: Clock, on_step: StepReport | None) -> list[list[Pixels]]:
        """The images of each plan, one plan after another. Raises InvalidRequest for what these models cannot do here."""
        return [_render_one(self._pipeline, plan, clock, on_step) for plan in plans]


def _render_one(pipeline: Any, plan: Plan, clock: Clock, on_step: StepReport | None) -> list[Pixels]:
    choice = plan.choice
    if choice.styles:
        raise InvalidRequest("styles", [style.name for style, _ in choice.styles], f"none with {choice.model.title}")
    steps, count = choice.num_inference_steps, plan.request.num_images

    def report(_pipeline: Any, index: int, _t: Any, values: dict[str, Any]) -> dict[str, Any]:
        if on_step is not None:
            on_step(index + 1, steps)
        return values

    arguments: dict[str, Any] = {}
    if choice.recipe.negative_prompt and plan.request.negative_prompt:
        arguments["negative_prompt"] = [plan.request.negative_prompt] * count
    with clock("unet"):
        made = pipeline(
            prompt=[plan.prompt] * count,
            width=choice.width,
            height=choice.height,
            num_inference_steps=steps,
            guidance_scale=choice.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in plan.request.seeds],
            callback_on_step_end=report,
            **arguments,
        ).images
    return [np.asarray(image.convert("RGB")) for image in made]
