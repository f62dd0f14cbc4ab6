"""The training stages as a table: name, presets, and what each does in a workspace."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from hypersd_app.distill import autoencoder, controlnet, judge, student, style, teacher
from hypersd_app.distill.data import dataset
from hypersd_app.distill.latents import encode_pictures
from hypersd_app.distill.workspace import Workspace
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.controlnet import PocketControlNet
from hypersd_app.models.pocket import new_scheduler

Progress = Callable[[int, int, dict[str, float]], None]


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


def _autoencoder(config: autoencoder.AutoencoderConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    initial = workspace.weights("autoencoder", "model", "vae") if config.decoder_only else workspace.initial("autoencoder", folder.name, "vae")
    autoencoder.train(config, workspace.data, folder, progress, initial)


def _latents(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    encode_pictures(workspace.data, workspace.autoencoder, workspace.latents_path, progress)


def _teacher(config: teacher.TeacherConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    initial = workspace.initial("teacher", folder.name, "unet")
    teacher.train(config, workspace.data, workspace.latents, workspace.embed, workspace.autoencoder, folder, progress, initial)


def _student(config: student.StudentConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    weights = workspace.weights("teacher", "unet", "unet")
    student.train(config, workspace.data, workspace.latents, workspace.embed, workspace.autoencoder, weights, folder, progress)


def _controlnet(config: controlnet.ControlNetConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    weights = workspace.weights("teacher", "unet", "unet")
    accelerator = initial = None
    if config.student:
        accelerator = workspace.weights("student", "accelerator.safetensors", "accelerator.safetensors")
        initial = workspace.weights("controlnet", "controlnet", "controlnet")
    controlnet.train(
        config, workspace.data, workspace.latents, workspace.embed, workspace.autoencoder, weights, folder, progress, accelerator, initial
    )


def _style(config: style.StyleConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    if config.folder:
        raw, captions = style.read_folder(Path(config.folder))
        pictures = style.StylePictures(style.encode(raw, workspace.autoencoder), captions)
    else:
        pictures = style.from_data(workspace.data, config.set_key, workspace.autoencoder)
    weights = workspace.weights("teacher", "unet", "unet")
    path = style.train(config, pictures, workspace.embed, workspace.autoencoder, weights, folder, progress)
    target = workspace.user_styles if config.folder else workspace.assets / "styles"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target / path.name)


def _judge(config: judge.JudgeConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    judge.train(config, workspace.data, workspace.embed, folder, progress)


def _export(config: PlainConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Copy what this workspace trained into the shipped folder, in float16."""
    assets = workspace.assets
    decoder = workspace.run("autoencoder", f"{workspace.family}-decoder") / "model"
    vae = decoder if decoder.exists() else workspace.weights("autoencoder", "model", "vae")
    tuned = workspace.run("controlnet", f"{workspace.family}-student") / "controlnet"
    control = tuned if tuned.exists() else workspace.run("controlnet", workspace.family) / "controlnet"
    parts: tuple[tuple[Any, Path, str], ...] = (
        (PocketAutoencoder, vae, "vae"),
        (UNet2DConditionModel, workspace.run("teacher", workspace.family) / "unet", "unet"),
        (PocketControlNet, control, "controlnet"),
    )
    for number, (kind, source, name) in enumerate(parts):
        if source.exists() and source != assets / name:
            kind.from_pretrained(source).to(torch.float16).save_pretrained(assets / name)
        progress(number + 1, len(parts), {})
    accelerator = workspace.run("student", workspace.family) / "accelerator.safetensors"
    if accelerator.exists():
        shutil.copyfile(accelerator, assets / "accelerator.safetensors")
    new_scheduler().save_pretrained(assets / "scheduler")
    assert workspace.embed


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("data", "fetch the icon sets, compose and render the training pictures", dataset.PRESETS, _data),
        Stage("autoencoder", "256-px pictures to 16x16 latents and back", autoencoder.PRESETS, _autoencoder),
        Stage("latents", "encode all training pictures once", _FAMILIES, _latents),
        Stage("teacher", "the text-to-image diffusion model", teacher.PRESETS, _teacher),
        Stage("student", "the accelerating LoRA, distilled from the teacher", student.PRESETS, _student),
        Stage("controlnet", "scribbles steer the teacher, then the student", controlnet.PRESETS, _controlnet),
        Stage("style", "a style LoRA from an icon set or a folder of pictures", style.PRESETS, _style),
        Stage("judge", "the dual encoder that measures whether pictures fit their captions", judge.PRESETS, _judge),
        Stage("export", "copy the trained weights into the shipped folder, as float16", _FAMILIES, _export),
    )
}


def limited(config: Any, steps: int | None, minutes: float | None) -> Any:
    """A config with its loop cut to so many steps or minutes; configs without a loop are left alone."""
    if not hasattr(config, "loop"):
        return config
    loop = replace(config.loop, **({"steps": steps} if steps else {}), **({"minutes": minutes} if minutes else {}))
    return replace(config, loop=loop)
