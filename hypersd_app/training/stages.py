"""The training stages as a table: name, presets, and what each does in a workspace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hypersd_app.catalog.builtin import ACCELERATOR
from hypersd_app.errors import InvalidRequest
from hypersd_app.models.autoencoders import load_autoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import PocketUNet, new_scheduler
from hypersd_app.training.controlnet import layout_stage
from hypersd_app.training.controlnet import train as controlnet
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.critics import frozen, registry
from hypersd_app.training.critics import style as style_judge
from hypersd_app.training.critics import text_image as judge
from hypersd_app.training.data import dataset
from hypersd_app.training.data.vocabulary import write_vocabulary
from hypersd_app.training.data.words.concepts import load_concepts
from hypersd_app.training.distillation import train as student
from hypersd_app.training.pocket import autoencoder, layout_prior, sticker_autoencoder, teacher
from hypersd_app.training.study import config as study_config
from hypersd_app.training.study import stage as study
from hypersd_app.training.style import train as style
from hypersd_app.training.workspace import Workspace


@dataclass(frozen=True)
class PlainConfig:
    """For stages without choices: only which data they work on."""

    data: str = "pocket"


_FAMILIES: Mapping[str, Any] = {"pocket": PlainConfig(), "tiny": PlainConfig("tiny")}


@dataclass(frozen=True)
class Stage:
    """One step of the training; `run(config, workspace, folder, progress)` starts or resumes it."""

    name: str
    summary: str
    presets: Mapping[str, Any]
    run: Callable[[Any, Workspace, Path, Progress], None]


def _data(config: dataset.DataConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    dataset.build(config, folder, workspace.packages, lambda done, total: progress(done, total, {}))


def _vocabulary(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """The words of this workspace's images, with the names of today."""
    named = {concept.label: concept for concept in load_concepts(workspace.packages)}
    concepts = [named.get(concept.label, concept) for concept in workspace.data.concepts]
    write_vocabulary(concepts, workspace.data.drawings, workspace.assets)
    progress(1, 1, {})


def _autoencoder(config: autoencoder.AutoencoderConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    sharpened = workspace.weights("autoencoder", "model", "vae") if config.decoder_only else None
    autoencoder.train(config, workspace, folder, progress, sharpened or workspace.initial("autoencoder", folder.name, "vae"))


def _latents(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    workspace.latents.fill(progress)


def _teacher(config: teacher.TeacherConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    teacher.train(config, workspace, folder, progress, workspace.initial("teacher", folder.name, "unet"))


def _style(config: style.StyleConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    path = style.train(config, workspace, folder, progress)
    target = workspace.user_styles if config.folder else workspace.assets / "styles"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target / path.name)


def _export(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Copy what this workspace trained into the shipped folder, in float16."""
    assets = workspace.assets
    decoder = workspace.run("autoencoder", f"{workspace.family}-decoder") / "model"
    vae = decoder if decoder.exists() else workspace.vae
    tuned = workspace.run("controlnet", f"{workspace.family}-student") / "controlnet"
    control = tuned if tuned.exists() else workspace.run("controlnet", workspace.family) / "controlnet"
    parts: tuple[tuple[Callable[[Path], Any], Path, str], ...] = (
        (load_autoencoder, vae, "vae"),
        (PocketUNet.from_pretrained, workspace.run("teacher", workspace.family) / "unet", "unet"),
        (PocketControlNet.from_pretrained, control, "controlnet"),
    )
    for number, (load, source, name) in enumerate(parts):
        if source.exists() and source != assets / name:
            load(source).to(torch.float16).save_pretrained(assets / name)
            _forget_source(assets / name / "config.json")
        progress(number + 1, len(parts), {})
    accelerator = workspace.run("student", workspace.family) / ACCELERATOR
    if accelerator.exists():
        shutil.copyfile(accelerator, assets / ACCELERATOR)
    new_scheduler().save_pretrained(assets / "scheduler")
    assert workspace.embed


def _freeze(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    frozen.freeze(workspace, progress)


def _forget_source(config: Path) -> None:
    """diffusers writes where a network was loaded from; that folder is this machine's alone."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values.pop("_name_or_path", None)
    config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("data", "fetch the icon sets, compose and render the training images", dataset.PRESETS, _data),
        Stage("vocabulary", "the table of words Pocket knows, for the page's suggestions", _FAMILIES, _vocabulary),
        Stage("autoencoder", "256-px images to 16x16 latents and back", autoencoder.PRESETS, _autoencoder),
        Stage(
            "sticker-autoencoder",
            "RGBA images to 16x16 latents that bear noise, and back at any size; after `data --preset icons`",
            sticker_autoencoder.PRESETS,
            sticker_autoencoder.train,
        ),
        Stage("latents", "encode all training images now, not as they are first drawn", _FAMILIES, _latents),
        Stage("layout", "captions to mean latents, which the teacher begins from", layout_prior.PRESETS, layout_prior.train),
        Stage(
            "sketches",
            "drawings to changes of that layout, which the ControlNet begins from",
            layout_stage.PRESETS,
            layout_stage.train,
        ),
        Stage("teacher", "the text-to-image diffusion model", teacher.PRESETS, _teacher),
        Stage("student", "the accelerating LoRA, distilled from the teacher", student.PRESETS, student.train),
        Stage("controlnet", "scribbles steer the teacher, then the student", controlnet.PRESETS, controlnet.train),
        Stage("style", "a style LoRA from an icon set or a folder of images", style.PRESETS, _style),
        Stage("judge", "the dual encoder that measures whether images fit their captions", judge.PRESETS, judge.train),
        Stage(
            "reward", "a stand-in reward for feedback learning: agreement, quality or segmenter", registry.PRESETS, registry.train
        ),
        Stage("style-judge", "the classifier that tells the icon sets apart", style_judge.PRESETS, style_judge.train),
        Stage("freeze", "ship both judges, with the images they measure; once", _FAMILIES, _freeze),
        Stage("study", "methods compared at equal cost on a small proxy; hours, resumable", study_config.PRESETS, study.train),
        Stage("export", "copy the trained weights into the shipped folder, as float16", _FAMILIES, _export),
    )
}


def limited(config: Any, steps: int | None, minutes: float | None, cooldown_minutes: float | None = None) -> Any:
    """A config with its loop cut to so many steps or minutes; configs without a loop are left alone.

    A study has many loops, whose steps its budget decides: it takes minutes, and raises InvalidRequest for the others.
    """
    if isinstance(config, study_config.StudyConfig):
        if steps or cooldown_minutes:
            raise InvalidRequest("steps", steps or cooldown_minutes, "--minutes, --seed or --variant with a study")
        return replace(config, minutes=minutes or 0.0)
    if not hasattr(config, "loop"):
        return config
    limits = {"steps": steps, "minutes": minutes, "cooldown_minutes": cooldown_minutes}
    return replace(config, loop=replace(config.loop, **{name: value for name, value in limits.items() if value}))
