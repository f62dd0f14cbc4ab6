"""Accelerators are known by their files' names, and what each row says of steps and schedulers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersd_app.catalog.accelerators import GUESS, TABLE, accelerating_recipes, guessed, merged_recipes
from hypersd_app.catalog.specs import StyleSpec

LORAS = [  # file -> title, steps, scheduler, guided, timesteps
    ("Hyper-SD15-1step-lora", "Hyper-SD", (1, 2, 3, 4, 5, 6, 7, 8), "TCDScheduler", False, None),
    ("Hyper-SDXL-4steps-lora", "Hyper-SD, 4 steps", (4,), "DDIMScheduler", False, None),
    ("Hyper-SDXL-8steps-CFG-lora", "Hyper-SD, 8 steps", (8,), "DDIMScheduler", True, None),
    ("sdxl_lightning_4step_lora", "Lightning, 4 steps", (4,), "DDIMScheduler", False, None),
    ("dmd2_sdxl_4step_lora_fp16", "DMD2, 4 steps", (4,), "LCMScheduler", False, (999, 749, 499, 249)),
    ("pcm_sd15_smallcfg_2step_converted", "PCM, 2 steps", (2,), "DDIMScheduler", False, None),
    ("pcm_sdxl_normalcfg_8step_converted", "PCM, 8 steps", (8,), "DDIMScheduler", True, None),
    ("lcm-lora-sdv1-5", "LCM", (2, 3, 4, 5, 6, 7, 8), "LCMScheduler", True, None),
    ("TCD-SDXL-LoRA", "TCD", tuple(range(2, 21)), "TCDScheduler", False, None),
]


@pytest.mark.parametrize(("name", "title", "steps", "scheduler", "guided", "timesteps"), LORAS)
def test_loras_are_known_by_name(name, title, steps, scheduler, guided, timesteps):
    (recipe,) = accelerating_recipes(StyleSpec("x", "", family="sdxl", path=Path(f"{name}.safetensors")))
    assert recipe.title == f"{title}: {name} ({GUESS})"
    assert (recipe.steps, recipe.scheduler, recipe.uses_guidance, recipe.timesteps) == (steps, scheduler, guided, timesteps)
    assert recipe.lora.path == Path(f"{name}.safetensors")


def test_a_name_that_says_nothing_is_read_with_its_folder():
    assert accelerating_recipes(StyleSpec("x", "", family="sd15", path=Path("lcm-lora-sdv1-5/pytorch_lora_weights.safetensors")))


@pytest.mark.parametrize("name", ["lightning_bolts", "ink", "hyper realism", "add_detail", "dmdress", "pcm", "tcdragon"])
def test_styles_are_taken_for_none(name):
    assert guessed(name, "", merged=False) is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("DreamShaperXL_Turbo-Lightning", "Lightning"), ("realvisxlV40_v40LightningBakedvae", "Lightning"),
        ("sd_xl_turbo_1.0_fp16", "Turbo"), ("epicrealism_hyper", "Hyper-SD"), ("dmd2_sdxl_1step_unet", "DMD2, 1 step"),
        ("LCMTurboMix_LCM", "LCM"), ("sdxl_lightning_1step_x0", "Lightning, 1 step"),
    ],
)  # fmt: skip
def test_merged_checkpoints_are_known_by_name(name, title):
    (recipe,) = merged_recipes(name)
    assert recipe.title == f"{title} ({GUESS})"
    assert recipe.lora is None


def test_other_checkpoints_have_no_recipe_of_their_own():
    assert merged_recipes("anything_v5") == ()


def test_every_row_says_where_it_is_from():
    assert all(row.source.startswith("https://huggingface.co/") for row in TABLE)
