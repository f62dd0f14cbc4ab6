"""Accelerators beside Hyper-SD, as LoRAs or merged into checkpoints: what their authors say of steps, scheduler and guidance.

Which one a file is, is guessed from its name and title, since nothing in it says so. The guess is a recipe among the others of a
model, first where it is merged in, and named as a guess: whoever knows better takes another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from hypersd_app.catalog.hyper_sd import ETA, TRAILING, UNIFIED_STEPS
from hypersd_app.catalog.specs import Range, Recipe, StyleSpec, WeightSource

GUESS = "guessed from the file's name"
# Euler's steps in the noise level are DDIM's on the same timesteps, with the last one ending on the clean image.
EULER = (*TRAILING, ("set_alpha_to_one", True))
PHASED = (*TRAILING, ("clip_sample", False), ("set_alpha_to_one", False))
LITTLE_GUIDANCE: Range = (1.0, 1.0, 2.0)
STEP_COUNT = re.compile(r"(\d{1,2})[ _-]?(?:s\b|steps?)", re.IGNORECASE)
GENERIC = ("pytorch_lora_weights", "diffusion_pytorch_model", "model", "adapter_model")  # names that say nothing: the folder's does
LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """One row: words that a file's name has, and the recipe. `recipe.steps` are those of files that name no number."""

    words: tuple[str, ...]  # any of them, as words of their own or at a word's end
    recipe: Recipe
    steps: tuple[int, ...] = ()  # numbers that files are made for exactly, if a name has one
    fixed: tuple[tuple[int, tuple[int, ...]], ...] = ()  # number of steps -> the timesteps it was trained on
    named_steps: bool = False  # a LoRA whose name has no number of steps is no such one: "lightning" is weather too
    merged_words: tuple[str, ...] = ()  # that mean it in a checkpoint's name alone
    merged_guidance: Range | None = None  # of checkpoints that have it merged in
    source: str


TABLE = (
    Accelerator(
        words=("hypersd", "hyper sd", "hyper sd15", "hyper sdxl", "hypersd15", "hypersdxl", "hyperxl"),
        merged_words=("hyper",),
        recipe=Recipe("hyper", "Hyper-SD", steps=UNIFIED_STEPS, scheduler="TCDScheduler", eta=ETA),
        steps=(2, 4, 8),
        source="https://huggingface.co/ByteDance/Hyper-SD",
    ),
    Accelerator(
        words=("dmd2", "dmd"),
        recipe=Recipe("dmd2", "DMD2", steps=(4,), scheduler="LCMScheduler", timesteps=(999, 749, 499, 249)),
        steps=(1, 4),
        fixed=((1, (399,)), (4, (999, 749, 499, 249))),
        source="https://huggingface.co/tianweiy/DMD2",
    ),
    Accelerator(
        words=("pcm", "phased consistency"),
        recipe=Recipe("pcm", "PCM", steps=(4,), scheduler="DDIMScheduler", scheduler_arguments=PHASED),
        steps=(2, 4, 8, 16),
        named_steps=True,
        source="https://huggingface.co/wangfuyun/PCM_Weights",
    ),
    Accelerator(
        words=("lightning",),
        recipe=Recipe("lightning", "Lightning", steps=tuple(range(4, 9)), scheduler="DDIMScheduler", scheduler_arguments=EULER),
        steps=(1, 2, 4, 8),
        named_steps=True,
        merged_guidance=LITTLE_GUIDANCE,
        source="https://huggingface.co/ByteDance/SDXL-Lightning",
    ),
    Accelerator(
        words=("turbo",),
        recipe=Recipe("turbo", "Turbo", steps=tuple(range(1, 9)), scheduler="DDIMScheduler", scheduler_arguments=EULER, eta=ETA),
        merged_guidance=LITTLE_GUIDANCE,
        source="https://huggingface.co/stabilityai/sdxl-turbo",
    ),
    Accelerator(
        words=("tcd",),
        recipe=Recipe("tcd", "TCD", steps=tuple(range(2, 21)), scheduler="TCDScheduler", eta=(0.0, 0.3, 1.0)),
        source="https://huggingface.co/h1t/TCD-SDXL-LoRA",
    ),
    Accelerator(
        words=("lcm",),
        recipe=Recipe(
            "lcm", "LCM", steps=tuple(range(2, 9)), scheduler="LCMScheduler", guidance=LITTLE_GUIDANCE, negative_prompt=True
        ),
        source="https://huggingface.co/latent-consistency/lcm-lora-sdv1-5",
    ),
)  # the first whose words are in a name counts: merges are often called after several


def accelerating_recipes(style: StyleSpec) -> tuple[Recipe, ...]:
    """The recipe of a style file that is an accelerator by its name; none for any other."""
    stem = style.path.stem if style.path.stem not in GENERIC else style.path.parent.name
    recipe = guessed(stem, style.title, merged=False)
    if recipe is None:
        return ()
    title = f"{recipe.title}: {style.path.stem} ({GUESS})"
    return (replace(recipe, name=f"file-{style.name}", title=title, lora=WeightSource(path=style.path)),)


def merged_recipes(name: str) -> tuple[Recipe, ...]:
    """The recipe of a checkpoint with an accelerator merged in, by its name; none for any other."""
    recipe = guessed(name, "", merged=True)
    return () if recipe is None else (replace(recipe, title=f"{recipe.title} ({GUESS})"),)


@lru_cache(maxsize=8192)
def guessed(name: str, title: str, *, merged: bool) -> Recipe | None:
    """The recipe for a file called so; None if it is no accelerator by its names."""
    said = _spaced(f"{name} {title}"[:LONGEST_NAME])
    row = next((row for row in TABLE if _names(said, row.words + row.merged_words * merged)), None)
    if row is None:
        return None
    counts = [int(found) for found in STEP_COUNT.findall(said)]
    count = next((count for count in counts if count in row.steps), None)
    if count is None and row.named_steps and not merged:
        return None
    return _adapted(row, said, count, merged)


def _adapted(row: Accelerator, said: str, count: int | None, merged: bool) -> Recipe:
    recipe = row.recipe
    if row.recipe.name == "hyper" and count is not None:  # as the released files, one recipe a number
        recipe = replace(recipe, scheduler="DDIMScheduler", scheduler_arguments=TRAILING, eta=None)
    if count is not None:
        timesteps = dict(row.fixed).get(count, recipe.timesteps if not row.fixed else None)
        recipe = replace(recipe, steps=(count,), timesteps=timesteps, title=f"{recipe.title}, {count} step{'s' * (count > 1)}")
    if row.recipe.name == "lightning" and count == 1:  # which predicts the clean image
        recipe = replace(recipe, scheduler_arguments=(*EULER, ("prediction_type", "sample")))
    if _names(said, ("cfg",)) and row.recipe.name == "hyper":
        recipe = replace(recipe, guidance=(5.0, 5.0, 8.0), negative_prompt=True)
    if "normalcfg" in said:
        recipe = replace(recipe, guidance=(1.0, 7.5, 8.0), negative_prompt=True)
    if merged and row.merged_guidance is not None:
        recipe = replace(recipe, guidance=row.merged_guidance, negative_prompt=True)
    return recipe


def _spaced(name: str) -> str:
    """Lower case, words with single spaces between: DreamShaperXL_Lightning-4S is "dreamshaper xl lightning 4s"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[^a-z0-9]+", parted.lower())).strip()


def _names(said: str, words: Iterable[str]) -> bool:
    """Whether one of `words` stands in a name, numbers right behind it allowed: "lightning4s", "dmd2"."""
    padded = f" {said} "
    return any(re.search(rf"[ \d]{re.escape(word)}[ \d]", padded) for word in words)
