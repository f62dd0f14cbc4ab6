"""The released Hyper-SD weights as recipes (the table of `ByteDance/Hyper-SD` on the Hub)."""

from __future__ import annotations

from hypersd_app.catalog.specs import Recipe, WeightSource

REPOSITORY = "ByteDance/Hyper-SD"
UNIFIED_STEPS = tuple(range(1, 9))
TEACHER_STEPS = tuple(range(8, 51))
TRAILING = (("timestep_spacing", "trailing"),)
ETA = (0.0, 1.0, 1.0)


def lora(filename: str) -> WeightSource:
    """A file of the Hyper-SD repository, which holds many: always named."""
    return WeightSource(repo=REPOSITORY, filename=filename)


def teacher(guidance: float) -> Recipe:
    """The model itself without any acceleration: DDIM, trailing timesteps, classifier-free guidance."""
    return Recipe(
        "teacher", "Base model, no acceleration", steps=TEACHER_STEPS, scheduler="DDIMScheduler", scheduler_arguments=TRAILING,
        guidance=(1.0, guidance, 15.0), negative_prompt=True,
    )  # fmt: skip


def unified(prefix: str) -> Recipe:
    """One LoRA for 1 to 8 steps; lower eta gives more detail, above one step."""
    source = lora(f"{prefix}-1step-lora.safetensors")
    return Recipe("unified", "Hyper-SD, 1-8 steps", steps=UNIFIED_STEPS, scheduler="TCDScheduler", eta=ETA, lora=source)


def exact(prefix: str, steps: int) -> Recipe:
    """A LoRA trained for exactly `steps` steps, without guidance."""
    source = lora(f"{prefix}-{steps}steps-lora.safetensors")
    return Recipe(
        f"{steps}steps",
        f"Hyper-SD, {steps} steps",
        steps=(steps,),
        scheduler="DDIMScheduler",
        scheduler_arguments=TRAILING,
        lora=source,
    )


def guided(prefix: str, steps: int) -> Recipe:
    """A LoRA that keeps classifier-free guidance: the only kind for which a negative prompt works."""
    source = lora(f"{prefix}-{steps}steps-CFG-lora.safetensors")
    return Recipe(
        f"{steps}steps-cfg", f"Hyper-SD, {steps} steps with guidance", steps=(steps,),
        scheduler="DDIMScheduler", scheduler_arguments=TRAILING,
        guidance=(5.0, 5.0, 8.0), negative_prompt=True, lora=source,
    )  # fmt: skip


def one_step_unet() -> Recipe:
    """The dedicated SDXL network: a whole UNet, one step at timestep 800."""
    source = lora("Hyper-SDXL-1step-Unet.safetensors")
    return Recipe("1step-unet", "Hyper-SDXL, dedicated 1 step", steps=(1,), scheduler="LCMScheduler", timesteps=(800,), unet=source)


def stable_diffusion_recipes(prefix: str, guidance: float) -> tuple[Recipe, ...]:
    """All recipes of SD1.5 or SDXL but the dedicated UNet."""
    fixed = tuple(exact(prefix, steps) for steps in (2, 4, 8))
    return (unified(prefix), *fixed, guided(prefix, 8), guided(prefix, 12), teacher(guidance))


def sd3_recipes() -> tuple[Recipe, ...]:
    """SD3 keeps its own flow scheduler; its LoRAs act at an eighth of their strength."""
    rows = ((4, 3.0), (8, 5.0), (16, 7.0))
    return tuple(
        Recipe(
            f"{steps}steps-cfg", f"Hyper-SD3, {steps} steps with guidance", steps=(steps,),
            scheduler="FlowMatchEulerDiscreteScheduler",
            guidance=(1.0, guidance, 10.0), negative_prompt=True,
            lora=lora(f"Hyper-SD3-{steps}steps-CFG-lora.safetensors"), lora_scale=0.125,
        )
        for steps, guidance in rows
    )  # fmt: skip


def flux_recipes() -> tuple[Recipe, ...]:
    """FLUX.1-dev reads its guidance as an input, so a negative prompt has no meaning."""
    return tuple(
        Recipe(
            f"{steps}steps", f"Hyper-FLUX, {steps} steps", steps=(steps,), scheduler="FlowMatchEulerDiscreteScheduler",
            guidance=(1.0, 3.5, 10.0), lora=lora(f"Hyper-FLUX.1-dev-{steps}steps-lora.safetensors"), lora_scale=0.125,
        )
        for steps in (8, 16)
    )  # fmt: skip
