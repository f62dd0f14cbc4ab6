"""The models this app knows by name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypersd_app.catalog.hyper_sd import (
    ETA,
    TRAILING,
    UNIFIED_STEPS,
    flux_recipes,
    one_step_unet,
    sd3_recipes,
    stable_diffusion_recipes,
    teacher,
)  # fmt: skip
from hypersd_app.catalog.safetensors_header import read_header
from hypersd_app.catalog.specs import ControlSpec, DecoderSpec, ModelSpec, Recipe, WeightSource
from hypersd_app.errors import ModelUnavailable

logger = logging.getLogger(__name__)
POCKET_SIZE = 256
ACCELERATOR = "accelerator.safetensors"  # what `train student` leaves
WHOLE_UNET = "unet.safetensors"  # what it leaves for a whole UNet
POCKET_GUIDANCE = 3.0
FAMILIES = ("pocket", "sd15", "sdxl", "sd3", "flux")


def pocket_model(folder: Path) -> ModelSpec:
    """The embedded model, with whatever lies in `folder`."""
    scribble = folder / "controlnet"
    controls = (ControlSpec("scribble", "Scribble", source=WeightSource(path=scribble), annotator="scribble"),)
    return ModelSpec(
        name="pocket",
        title="Pocket (embedded)",
        family="pocket",
        source=WeightSource(path=folder),
        recipes=_pocket_recipes(folder),
        width=POCKET_SIZE,
        height=POCKET_SIZE,
        size_multiple=16,
        smallest=POCKET_SIZE,
        largest=POCKET_SIZE,
        controls=controls if (scribble / "config.json").exists() else (),
        decoders=(DecoderSpec("full", "Full", "PocketAutoencoder", WeightSource(path=folder / "vae")),),
        note="Stickers and icons on white. Runs anywhere.",
    )


def _pocket_recipes(folder: Path) -> tuple[Recipe, ...]:
    accelerator = folder / ACCELERATOR
    base = teacher(POCKET_GUIDANCE)
    return (accelerated("unified", "Few steps, 1-8", accelerator), base) if accelerator.exists() else (base,)


def trained_students(runs: Path) -> dict[str, list[Recipe]]:
    """Every student that `train` left, by the family it was made for, so that Compare can run it beside the shipped one."""
    found: dict[str, list[Recipe]] = {}
    for path in sorted([*runs.glob(f"student/*/{ACCELERATOR}"), *runs.glob(f"student/*/{WHOLE_UNET}")]):
        try:
            metadata = read_header(path).metadata
        except ModelUnavailable as error:
            logger.warning("student left out: %s", error)
            continue
        name = path.parent.name
        row = _drawn_as_told(accelerated(f"run-{name}", f"Trained here: {name}", path), metadata)
        if path.name == WHOLE_UNET:
            # LCM's scheduler ends on clean data, as with the released one-step UNet.
            row = replace(row, lora=None, unet=WeightSource(path=path), scheduler="LCMScheduler", scheduler_arguments=())
        found.setdefault(metadata.get("family") or "pocket", []).append(row)
    return found


def _drawn_as_told(row: Recipe, metadata: Mapping[str, str]) -> Recipe:
    """The recipe of a student that its metadata say is no unified one: one step from elsewhere, exactly N, with guidance."""
    timestep, steps = metadata.get("timestep", ""), metadata.get("exact_steps", "")
    if timestep.isdecimal() and len(timestep) < 5:  # a student of one step that starts elsewhere than at T - 1
        return replace(row, steps=(1,), timesteps=(int(timestep),), eta=None)
    if not (steps.isdecimal() and 1 <= int(steps[:4]) <= 100):
        return row
    row = replace(
        row, steps=(int(steps[:4]),), scheduler="DDIMScheduler", scheduler_arguments=TRAILING, eta=None, rest_steps=int(steps[:4])
    )
    try:
        low, high = (float(scale) for scale in metadata["kept_guidance"].split(","))
    except (KeyError, ValueError):
        return row
    return replace(row, guidance=(low, low, high), negative_prompt=True) if 1 < low <= high < 100 else row


def accelerated(name: str, title: str, path: Path) -> Recipe:
    """A unified LoRA of our own training. A TCD grid of T points starts every step on a segment's edge, as it was trained.

    Of sixty doodles' lines 82 % have an edge at one step, 76 at two and 75 at four: a resting pen keeps what the moving one had.
    """
    fine_grid = (("original_inference_steps", 1000),)
    return Recipe(
        name,
        title,
        steps=UNIFIED_STEPS,
        scheduler="TCDScheduler",
        scheduler_arguments=fine_grid,
        eta=ETA,
        lora=WeightSource(path=path),
        rest_steps=1,
    )


def _hub(repo: str) -> WeightSource:
    return WeightSource(repo=repo)


def sd15_parts() -> tuple[tuple[Recipe, ...], tuple[ControlSpec, ...]]:
    """Recipes and ControlNets that fit every SD1.5 checkpoint."""
    controls = (
        ControlSpec(
            "scribble",
            "Scribble",
            source=_hub("lllyasviel/control_v11p_sd15_scribble"),
            scale=1.0,
            annotator="scribble",
            white_strokes=True,
        ),
        ControlSpec(
            "scribble-v10",
            "Scribble (first version)",
            source=_hub("lllyasviel/sd-controlnet-scribble"),
            scale=1.0,
            annotator="scribble",
            white_strokes=True,
        ),
        ControlSpec("canny", "Canny edges", source=_hub("lllyasviel/control_v11p_sd15_canny"), annotator="canny"),
        ControlSpec("softedge", "Soft edges", source=_hub("lllyasviel/control_v11p_sd15_softedge"), annotator="softedge"),
        ControlSpec("lineart", "Line art", source=_hub("lllyasviel/control_v11p_sd15_lineart"), annotator="lineart"),
        ControlSpec("depth", "Depth", source=_hub("lllyasviel/control_v11f1p_sd15_depth"), annotator="depth"),
    )
    return stable_diffusion_recipes("Hyper-SD15", 7.5), controls


def sdxl_parts() -> tuple[tuple[Recipe, ...], tuple[ControlSpec, ...]]:
    """Recipes and ControlNets that fit every SDXL checkpoint."""
    controls = (
        ControlSpec(
            "scribble",
            "Scribble",
            source=_hub("xinsir/controlnet-scribble-sdxl-1.0"),
            scale=1.0,
            annotator="scribble",
            white_strokes=True,
        ),
        ControlSpec("canny", "Canny edges", source=_hub("diffusers/controlnet-canny-sdxl-1.0"), scale=0.5, annotator="canny"),
    )
    return (*stable_diffusion_recipes("Hyper-SDXL", 5.0), one_step_unet()), controls


def stable_diffusion(name: str, title: str, family: str, source: WeightSource, note: str = "") -> ModelSpec:
    """A row for any SD1.5 or SDXL checkpoint."""
    large = family == "sdxl"
    recipes, controls = sdxl_parts() if large else sd15_parts()
    # A model of the visitor's own keeps the VAE that it brings; in 16 bits that decodes in 32.
    fix = _hub("madebyollin/sdxl-vae-fp16-fix") if large and not source.local else None
    decoders = (
        DecoderSpec("full", "Full", "AutoencoderKL", source, half_source=fix),
        DecoderSpec("tiny", "Tiny, fast", "AutoencoderTiny", _hub("madebyollin/taesdxl" if large else "madebyollin/taesd")),
    )
    side = 1024 if large else 512
    return ModelSpec(
        name, title, family=family, source=source, recipes=recipes, width=side, height=side, smallest=512 if large else 256,
        largest=2 * side, controls=controls, decoders=decoders, note=note,
    )  # fmt: skip


def hub_models() -> tuple[ModelSpec, ...]:
    """The models whose weights come from the Hub."""
    sd15 = _hub("stable-diffusion-v1-5/stable-diffusion-v1-5")
    sdxl = _hub("stabilityai/stable-diffusion-xl-base-1.0")
    sd3 = _hub("stabilityai/stable-diffusion-3-medium-diffusers")
    flux = _hub("black-forest-labs/FLUX.1-dev")
    return (
        stable_diffusion("sd15", "Stable Diffusion 1.5", "sd15", sd15),
        stable_diffusion("sdxl", "Stable Diffusion XL", "sdxl", sdxl),
        _transformer_model("sd3", "Stable Diffusion 3 medium", sd3, sd3_recipes()),
        _transformer_model("flux", "FLUX.1 dev", flux, flux_recipes()),
    )


def _transformer_model(name: str, title: str, source: WeightSource, recipes: tuple[Recipe, ...]) -> ModelSpec:
    decoders = (DecoderSpec("full", "Full", "AutoencoderKL", source),)
    note = "Needs a GPU and an accepted licence on the Hub."
    return ModelSpec(
        name,
        title,
        family=name,
        source=source,
        recipes=recipes,
        width=1024,
        height=1024,
        size_multiple=16,
        decoders=decoders,
        note=note,
    )
