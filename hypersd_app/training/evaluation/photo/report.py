"""All rows drawn, scored and written as one table beside the published one; what is there already is not done again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hypersd_app.training.core.device import training_device
from hypersd_app.training.distillation.stable_diffusion import CaptionedFolder, open_pipeline
from hypersd_app.training.evaluation.distances import frechet
from hypersd_app.training.evaluation.photo.inception import SIDE, InceptionFeatures
from hypersd_app.training.evaluation.photo.metrics import Score, open_metrics
from hypersd_app.training.evaluation.photo.prompts import read_prompts
from hypersd_app.training.evaluation.photo.published import PUBLISHED
from hypersd_app.training.evaluation.photo.rows import (
    Row,
    decode_image,
    draw,
    image_path,
    put_student,
    student_rows,
    teacher_rows,
)
from hypersd_app.training.workspace import Workspace

CHUNK = 16
COLUMNS = {"clip": ("CLIP", 2), "aesthetic": ("aesthetic", 2), "image_reward": ("ImageReward", 2), "pick": ("PickScore", 3)}
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What all rows share. `real` are photographs for FID and its network, or None for a table without that column."""

    family: str
    pipeline: Any
    prompts: Sequence[str]
    metrics: Mapping[str, Score]
    real: tuple[InceptionFeatures, Sequence[Path]] | None
    output: Path

    def measure(self, rows: Sequence[Row]) -> list[tuple[Row, Figures]]:
        """Each row's figures, kept in `output/<row>/figures.json`."""
        unet = self.pipeline.unet
        teacher = {name: value.clone() for name, value in unet.state_dict().items()}
        reference = None
        found = []
        for row in rows:
            folder = self.output / row.folder_name
            kept = folder / "figures.json"
            figures = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
            if figures.get("pictures") != len(self.prompts):
                put_student(row, unet, teacher)
                draw(row, self.pipeline, self.prompts, folder)
                if self.real is not None and reference is None:
                    reference = self.real[0](decode_image(path) for path in self.real[1])
                figures = self._figures(folder, reference)
                kept.write_text(json.dumps(figures), encoding="utf-8")
            found.append((row, figures))
        unet.load_state_dict(teacher)
        return found

    def _figures(self, folder: Path, reference: Any) -> Figures:
        paths = [image_path(folder, index) for index in range(len(self.prompts))]
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in self.metrics}
        for start in range(0, len(paths), CHUNK):
            images = [decode_image(path) for path in paths[start : start + CHUNK]]
            for name, score in self.metrics.items():
                parts[name].append(score(images, self.prompts[start : start + CHUNK]).float())
        figures: Figures = {"pictures": len(paths)}
        for name, values in parts.items():
            joined = torch.cat(values).double()
            figures[name] = float(joined.mean())
            figures[f"{name}_error"] = float(joined.std() / len(joined) ** 0.5) if len(joined) > 1 else float("nan")
        if self.real is not None:
            made = self.real[0](decode_image(path) for path in paths)
            figures["fid"] = frechet(np.asarray(made), reference)
        return figures


def write(
    teacher: Path,
    students: Sequence[Path],
    prompts: Path,
    real: Path | None,
    workspace: Workspace,
    output: Path,
    count: int,
    guidance: float,
) -> str:
    """Measure a diffusers folder and its students; leaves `output/photo.md` and returns it.

    Raises InvalidRequest and ModelUnavailable, both before anything is drawn.
    """
    asked = read_prompts(prompts, count)
    rows = [row for path in students for row in student_rows(path)]
    metrics = open_metrics(workspace)
    known = None
    if real is not None:
        known = (InceptionFeatures(workspace.run("reward", "inception")), CaptionedFolder(real, SIDE).files)
    family, pipeline = open_pipeline(teacher)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(training_device())
    evaluation = Evaluation(
        family=family, pipeline=pipeline, prompts=asked, metrics=metrics, real=known, output=output / teacher.resolve().name
    )
    text = markdown(family, evaluation.measure([*teacher_rows(teacher.resolve().name, guidance), *rows]))
    (output / "photo.md").write_text(text, encoding="utf-8")
    return text


def markdown(family: str, found: Sequence[tuple[Row, Figures]]) -> str:
    """Our rows with their 95 % intervals, then those that the paper reports for the family."""
    titles = ["model", "steps", "guidance", *(title for title, _ in COLUMNS.values()), "FID"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row, figures in found:
        cells = [
            f"{figures[name]:.{digits}f} ± {1.96 * figures[f'{name}_error']:.{digits}f}" for name, (_, digits) in COLUMNS.items()
        ]
        fid = f"{figures['fid']:.1f}" if "fid" in figures else "–"
        lines.append(f"| {row.title} | {row.steps} | {row.guidance:g} | {' | '.join(cells)} | {fid} |")
    for each in PUBLISHED:
        if each.family == family:
            cells = [f"{getattr(each, name):.{digits}f}" for name, (_, digits) in COLUMNS.items()]
            lines.append(f"| *{each.title}, published* | {each.steps} | | {' | '.join(cells)} | – |")
    return "\n".join([
        *lines, "",
        "Rewards are what students are trained with, so they say less than a metric never trained on. The paper reports neither FID"
        " nor intervals; its prompts are COCO-5k, and other prompts or fewer compare with our own rows alone.", "",
    ])  # fmt: skip
