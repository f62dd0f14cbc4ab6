"""The rows of the table, a model at a number of steps each, and how their images are drawn into folders."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, LCMScheduler, TCDScheduler
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from hypersd_app.catalog.builtin import WHOLE_UNET
from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.lora import fuse_lora

logger = logging.getLogger(__name__)
TEACHER_STEPS = 25
STUDENT_STEPS = (1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True)
class Row:
    """`student` is a LoRA or a whole UNet, None the teacher itself. `arguments` go to the pipeline's call."""

    title: str
    steps: int
    guidance: float
    scheduler: type[Any] = DDIMScheduler
    student: Path | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def folder_name(self) -> str:
        """The row in plain letters."""
        name = "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())
        return f"{name}-{self.steps}-{self.guidance:g}"


def teacher_rows(title: str, guidance: float) -> list[Row]:
    """The teacher with many steps, and at as many passes of the network as students of 2, 4 and 8 steps have."""
    few = [Row(title=title, steps=steps // 2, guidance=guidance) for steps in STUDENT_STEPS[1:]]
    return [Row(title=title, steps=TEACHER_STEPS, guidance=guidance), *few]


def student_rows(path: Path) -> list[Row]:
    """As the file's own metadata say that it is drawn. Raises InvalidRequest."""
    try:
        with safe_open(path, "pt") as file:
            told = dict(file.metadata() or {})
    except (OSError, ValueError) as error:
        raise InvalidRequest("student", str(path), "a safetensors file of `train student`, or a released one") from error
    title = path.parent.name if path.stem in ("accelerator", "unet") else path.stem
    if path.name == WHOLE_UNET:
        arguments = {"timesteps": [int(told.get("timestep", 800))]}
        return [Row(title=title, steps=1, guidance=0.0, scheduler=LCMScheduler, student=path, arguments=arguments)]
    if "exact_steps" in told:
        guidance = float(told.get("kept_guidance", "0").split(",")[0])
        return [Row(title=title, steps=int(told["exact_steps"]), guidance=guidance, student=path)]
    return [
        Row(title=title, steps=steps, guidance=0.0, scheduler=TCDScheduler, student=path, arguments={"eta": 1.0})
        for steps in STUDENT_STEPS
    ]


def draw(row: Row, pipeline: Any, prompts: Sequence[str], folder: Path, batch: int = 8) -> None:
    """PNGs `00000.png` and so on into `folder`; image i has the noise of seed i, and those that are there are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [index for index in range(len(prompts)) if not image_path(folder, index).exists()]
    spacing = {} if row.scheduler is not DDIMScheduler else {"timestep_spacing": "trailing"}
    scheduler, pipeline.scheduler = pipeline.scheduler, row.scheduler.from_config(pipeline.scheduler.config, **spacing)
    steps = {} if "timesteps" in row.arguments else {"num_inference_steps": row.steps}
    try:
        for start in range(0, len(missing), batch):
            some = missing[start : start + batch]
            made = pipeline(
                [prompts[index] for index in some], guidance_scale=row.guidance,
                generator=[torch.Generator().manual_seed(index) for index in some], **steps, **row.arguments,
            ).images  # fmt: skip
            for index, image in zip(some, made, strict=True):
                partial = folder / f"{index:05d}.partial"
                image.save(partial, "PNG")
                partial.replace(image_path(folder, index))
            logger.info("%s, %d steps: %d of %d", row.title, row.steps, some[-1] + 1, len(prompts))
    finally:
        pipeline.scheduler = scheduler


def image_path(folder: Path, index: int) -> Path:
    """Where a row's image lies."""
    return folder / f"{index:05d}.png"


def decode_image(path: Path) -> Image.Image:
    """The whole image in memory."""
    with Image.open(path) as image:
        return image.convert("RGB")


def put_student(row: Row, unet: Any, teacher: dict[str, torch.Tensor]) -> None:
    """The row's weights into `unet`, whose own are `teacher`."""
    if row.student is not None and row.student.name == WHOLE_UNET:
        unet.load_state_dict({name: value.to(teacher[name].dtype) for name, value in load_file(row.student).items()})
        return
    unet.load_state_dict(teacher)
    if row.student is not None:
        fuse_lora(unet, row.student)
