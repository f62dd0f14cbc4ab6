"""The study: methods compared at equal cost, several seeds each, on a proxy small enough for minutes a run.

The proxy is a narrower teacher of a few dozen things in two styles, with Pocket's own latents. Cost is counted in forward
passes for one picture (`forward_equivalents`), everything that a method runs included, so a dearer step means fewer steps.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.distill.data.dataset import PictureData
from hypersd_app.distill.data.sources import MAIN_SET
from hypersd_app.distill.distiller import Distiller, forward_equivalents
from hypersd_app.distill.evaluation.distances import diversity, frechet, interval, kernel_distance
from hypersd_app.distill.evaluation.features import Spaces, judge_of
from hypersd_app.distill.evaluation.models import STUDENT_STEPS, TEACHER_STEPS, new_sampler, stamp
from hypersd_app.distill.lora import fuse_lora
from hypersd_app.distill.methods import METHODS
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.pairs import pair_cost
from hypersd_app.distill.pocket_source import PocketSource
from hypersd_app.distill.precision import MEMORY_FORMAT, mixed_precision
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.rewards.shelf import open_reward, open_segmenter
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.splits import EVALUATION, splits
from hypersd_app.distill.student import FILE, FewStepSampler, Subject, distil, new_kit
from hypersd_app.distill.student_config import FeedbackConfig, ScoreConfig, StudentConfig
from hypersd_app.distill.teacher import Sampler, diffusion_loss, draw_timesteps
from hypersd_app.distill.workers import Workers
from hypersd_app.distill.workspace import Workspace
from hypersd_app.models.pocket import PocketUNet, new_scheduler, new_unet

logger = logging.getLogger(__name__)

VARIANTS: Mapping[str, tuple[str, dict[str, Any]]] = {  # name: (title, changes of the config)
    **{name: (method.title, {"method": name}) for name, method in METHODS.items()},
    "tscd-edge": ("TSCD, jumps to the edge", {"method": "tscd", "end": "edge"}),
    "tscd-dmd-800": ("TSCD + DMD, told t = 800", {"method": "tscd-dmd", "timestep": 800}),
}
DIVERSITY_PROMPTS, DIVERSITY_SEEDS = 12, 12


@dataclass(frozen=True)
class StudyConfig:
    """`budget`: forward passes for one picture that each run may spend. `variants` are rows of VARIANTS."""

    data: str = "pocket"
    concepts: int = 48
    set_keys: tuple[str, ...] = (MAIN_SET, "twemoji")
    channels: tuple[int, int, int] = (64, 128, 192)
    teacher_batch: int = 64
    teacher_lr: float = 3e-3
    teacher: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=1500, warmup=40, cooldown=500, preview_minutes=4, log_every=20)
    )
    guidance_scale: float = 3.0
    variants: tuple[str, ...] = ("lcm", "tcd", "pcm", "tscd", "tscd-edge", "tscd-feedback", "tscd-dmd", "hyper-sd")
    seeds: tuple[int, ...] = (0, 1, 2)
    budget: float = 60_000.0
    batch: int = 24
    lr: float = 1e-3
    rank: int = 24
    skip: int = 40
    pairs: int = 96
    pictures: int = 256
    seed: int = 0


PRESETS: dict[str, StudyConfig] = {
    "pocket": StudyConfig(),
    # Does the way work, and how long would it take? A tenth of the budget, one seed.
    "trial": StudyConfig(seeds=(0,), budget=6_000.0, pictures=96, variants=("lcm", "tscd", "tscd-edge", "hyper-sd")),
    "timesteps": StudyConfig(variants=("tscd-dmd", "tscd-dmd-800")),
    "tiny": StudyConfig(
        data="tiny", concepts=4, set_keys=("noto", "twemoji"), channels=(64, 64, 64), teacher_batch=4,
        teacher=LoopConfig(steps=2, warmup=1, log_every=1), variants=("lcm", "tscd-dmd"), seeds=(0, 1), budget=900.0, batch=2,
        rank=2, pairs=2, pictures=8,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Proxy:
    """The proxy's pictures: `training` may be drawn from, `asked` are for evaluation, with what is asked for each."""

    training: NDArray[np.int64]
    asked: NDArray[np.int64]
    captions: list[str]

    @staticmethod
    def of(config: StudyConfig, data: PictureData) -> Proxy:
        """Familiar things first, alone or re-coloured, in the config's sets."""
        by_name = sorted(range(len(data.concepts)), key=lambda i: (not data.concepts[i].familiar, data.concepts[i].label))
        kept = {i for i in by_name if not data.concepts[i].held_out}
        chosen = set([i for i in by_name if i in kept][: config.concepts])
        rows = [
            index
            for index, scene in enumerate(data.scenes)
            if scene.kind in ("single", "colour") and scene.set_key in config.set_keys and scene.placements[0].concept in chosen
        ]
        split = splits(data)
        training = np.asarray([i for i in rows if split[i] != EVALUATION and not data.scenes[i].held_out])
        rng = np.random.default_rng(config.seed)
        own = [i for i in rows if split[i] == EVALUATION]
        asked = rng.choice(own if own else rows, config.pictures)  # some more than once: other phrasings, other noise
        return Proxy(training, asked, [data.caption(int(index), 1000 + place) for place, index in enumerate(asked)])


def train(config: StudyConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Run or resume the whole study in `folder`; leaves `study.md`, `study.png` and a folder for each run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1))
    proxy = Proxy.of(config, workspace.data)
    teacher = train_teacher(config, proxy, workspace, folder / "teacher", progress)
    bench = StudyBench(config, proxy, workspace, teacher, folder)
    for seed in config.seeds:
        bench.teacher(seed)
        for variant in config.variants:
            bench.run(variant, seed, progress)
    write(config, folder)


def train_teacher(config: StudyConfig, proxy: Proxy, workspace: Workspace, folder: Path, progress: Progress) -> Path:
    """The proxy's teacher, trained or resumed; its averaged weights as a diffusers folder."""
    torch.manual_seed(config.seed)
    unet = new_unet(config.channels).to(memory_format=MEMORY_FORMAT)
    unet.layout.load_state_dict(workspace.layout())
    state = TrainingState(unet, build_optimizers(unet, "muon", config.teacher_lr, 0.01), ExponentialAverage(unet, 0.995))
    run, schedule = RunFolder(folder), NoiseSchedule.from_scheduler(new_scheduler())
    run.resume(state)
    if state.step >= config.teacher.steps and (folder / "unet").exists():
        return folder / "unet"
    source, sampler = PocketSource(workspace, 0.1, config.seed, proxy.training), new_sampler(workspace)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        x0, captions = source.batch(step, config.teacher_batch)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        t = draw_timesteps(len(x0), schedule.num_timesteps, 2.0, generator)
        with mixed_precision():
            losses = diffusion_loss(unet, x0, source.condition(captions).embeddings, t, schedule, generator)
        return losses.mean(), {}, len(x0)

    def preview(step: int) -> None:
        state.ema.swap()
        prompts = proxy.captions[:24]
        pictures = sampler.decode(sampler.latents(unet, prompts, 12, config.guidance_scale, 0))
        contact_sheet(list(pictures), run.previews / f"{step:06d}.png", labels=prompts, side=128)
        unet.save_pretrained(folder / "unet")
        state.ema.swap()

    run_loop(run, state, config.teacher, step_function, preview, progress)
    return folder / "unet"


class StudyBench:
    """Trains and measures single runs; what is there already is left alone."""

    def __init__(self, config: StudyConfig, proxy: Proxy, workspace: Workspace, teacher: Path, folder: Path) -> None:
        self.config, self.proxy, self.workspace, self.folder = config, proxy, workspace, folder
        self.teacher_path = teacher
        self.workers = Workers.open()
        self.sampler: Sampler = new_sampler(workspace)
        self.judge = judge_of(workspace)
        data = workspace.data
        self.plain = [data.caption(int(index), 0, style=False) for index in proxy.asked]
        self.names = list(dict.fromkeys(self.plain))
        rng = np.random.default_rng(config.seed)
        real = data.pictures[np.sort(rng.permutation(proxy.training)[: max(config.pictures, 16)])]
        self.spaces = Spaces.of(workspace, self.judge, real)
        self.reference = self.spaces(real)
        prompts = list(dict.fromkeys(proxy.captions))[:DIVERSITY_PROMPTS]
        self.diverse = [prompt for prompt in prompts for _ in range(DIVERSITY_SEEDS)]

    def unet(self) -> PocketUNet:
        """A fresh copy of the proxy's teacher."""
        return PocketUNet.from_pretrained(self.teacher_path).float().to(memory_format=MEMORY_FORMAT)

    def student_config(self, variant: str, seed: int, steps: int) -> StudentConfig:
        """A variant at so many steps."""
        changes = dict(VARIANTS[variant][1])
        timestep = changes.pop("timestep", -1)
        config = self.config
        row = StudentConfig(
            data=config.data, skip=config.skip, rank=config.rank, batch=config.batch, lr=config.lr,
            guidance_scale=config.guidance_scale, seed=seed, ema_decay=0.98,
            score=ScoreConfig(pairs=config.pairs, timestep=timestep), feedback=FeedbackConfig(),
            loop=LoopConfig(
                steps=steps, warmup=max(1, steps // 30), cooldown=steps // 4, preview_minutes=1e6, checkpoint_minutes=1.0
            ),
        )  # fmt: skip
        return replace(row, **changes)

    def subject(self, seed: int) -> Subject:
        """The proxy as something to distil."""
        source = PocketSource(self.workspace, 0.05, seed + 7, self.proxy.training, self.workers.autocast, self.workers.device)
        few = FewStepSampler(self.sampler)

        def look(unet: Any, path: Path) -> None:
            prompts = self.proxy.captions[:24]
            rows = [picture for steps in (1, 4) for picture in self.sampler.decode(few.latents(unet, prompts, steps, 0))]
            contact_sheet(rows, path, labels=[f"{steps}: {prompt}" for steps in (1, 4) for prompt in prompts], side=128)

        workspace = self.workspace
        schedule = NoiseSchedule.from_scheduler(new_scheduler())
        return Subject(
            "study",
            self.unet(),
            schedule,
            source,
            lambda name: open_reward(name, workspace),
            lambda: open_segmenter(workspace),
            look,
        )

    def steps_for(self, variant: str) -> tuple[int, list[float], float]:
        """How many steps the budget buys, what one costs in each stage, and what was paid before the first."""
        path = self.folder / "costs" / f"{variant}.json"
        if path.exists():
            costs, before = json.loads(path.read_text())
        else:
            costs, before = self._measured_costs(variant)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps([costs, before]))
        shares = [share for _, share in METHODS[VARIANTS[variant][1]["method"]].stages]
        mean = sum(cost * share for cost, share in zip(costs, shares, strict=True)) / sum(shares)
        return max(len(shares), int((self.config.budget - before) / mean)), costs, before

    def _measured_costs(self, variant: str) -> tuple[list[float], float]:
        trial = replace(self.student_config(variant, 0, 1000), batch=2)
        trial = replace(trial, score=replace(trial.score, pairs=min(2, trial.score.pairs)))
        kit = new_kit(trial, self.subject(0), self.workers, self.folder / "costs" / variant, lambda *_: None)
        distiller, costs, passed = Distiller(kit), [], 0.0
        every = trial.feedback.every if "feedback" in trial.method or trial.method == "hyper-sd" else 1
        for _, share in kit.stages:
            first = -(-round(1000 * passed / sum(s for _, s in kit.stages)) // every) * every
            costs.append(sum(forward_equivalents(distiller, first + i) for i in range(every)) / every * self.config.batch / 2)
            passed += share
        paired = any(hasattr(term, "pairs") for term in distiller.terms) and self.config.pairs
        before = pair_cost(self.config.pairs, trial.score.pair_steps, self.config.guidance_scale) if paired else 0.0
        return costs, before

    def run(self, variant: str, seed: int, progress: Progress) -> None:
        """Distil and measure one variant with one seed."""
        folder = self.folder / f"{variant}-{seed}"
        if (folder / "figures.json").exists():
            return
        steps, costs, before = self.steps_for(variant)
        config = self.student_config(variant, seed, steps)
        logger.info("%s, seed %d: %d steps at %s forward passes", variant, seed, steps, [round(cost) for cost in costs])
        began = time.monotonic()
        distil(config, self.subject(seed), self.workers, folder, progress)
        minutes = (time.monotonic() - began) / 60
        unet, few = self.unet().eval(), FewStepSampler(self.sampler)
        fuse_lora(unet, folder / FILE)
        rows = {}
        for count in STUDENT_STEPS:
            start = config.score.timestep if count == 1 else -1
            rows[str(count)] = self._figures(partial(self._few, few, unet, count, start), seed)
        self._save(folder, {"steps": steps, "costs": costs, "before": before, "minutes": minutes, "rows": rows})

    @staticmethod
    def _few(few: FewStepSampler, unet: Any, steps: int, start: int, prompts: list[str], seed: int) -> Tensor:
        return few.latents(unet, prompts, steps, seed, timestep=start)

    def teacher(self, seed: int) -> None:
        """Measure the teacher with one seed's noise."""
        folder = self.folder / f"teacher-{seed}"
        if (folder / "figures.json").exists():
            return
        unet = self.unet().eval()
        guidance = self.config.guidance_scale
        found = self._figures(lambda prompts, s: self.sampler.latents(unet, prompts, TEACHER_STEPS, guidance, s), seed)
        self._save(folder, {"stamp": stamp(self.teacher_path), "rows": {str(TEACHER_STEPS): found}})

    def _figures(self, draw: Any, seed: int) -> dict[str, float]:
        pictures = self.sampler.decode(draw(self.proxy.captions, 50_000 * (seed + 1)))
        figures = {"recall": float(self.judge.hits(pictures, self.plain, self.names, seed).mean())}
        for name, made in self.spaces(pictures).items():
            figures[f"frechet_{name}"] = frechet(made, self.reference[name])
            figures[f"kernel_{name}"] = kernel_distance(made, self.reference[name])
        several = self.sampler.decode(draw(self.diverse, 50_000 * (seed + 1) + 10_000))
        for name, rows in self.spaces(several).items():
            figures[f"diversity_{name}"] = diversity(rows.reshape(-1, DIVERSITY_SEEDS, rows.shape[1]))
        return figures

    @staticmethod
    def _save(folder: Path, values: dict[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / "figures.partial"
        unfinished.write_text(json.dumps(values, indent=1))
        unfinished.replace(folder / "figures.json")


def collected(folder: Path, name: str, seeds: Sequence[int], steps: int, figure: str) -> list[float]:
    """One figure of all seeds that are there."""
    found = []
    for seed in seeds:
        path = folder / f"{name}-{seed}" / "figures.json"
        if path.exists():
            found.append(float(json.loads(path.read_text())["rows"][str(steps)][figure]))
    return found


FIGURES = {
    "recall": "R@1", "frechet_what": "Fréchet distance (what)", "frechet_how": "Fréchet distance (how)",
    "diversity_what": "diversity (what)",
}  # fmt: skip


def markdown(config: StudyConfig, folder: Path) -> str:
    """The tables: each figure over methods and steps, as mean ± half of the 95 % interval over seeds."""
    lines = []
    for figure, title in FIGURES.items():
        teacher = collected(folder, "teacher", config.seeds, TEACHER_STEPS, figure)
        lines += [f"### {title}", "", f"Teacher, {TEACHER_STEPS} steps: {_said(teacher, figure)}", ""]
        lines += [f"| method | {' | '.join(f'{n} steps' for n in STUDENT_STEPS)} |", "|---" * (len(STUDENT_STEPS) + 1) + "|"]
        for variant in config.variants:
            cells = [_said(collected(folder, variant, config.seeds, n, figure), figure) for n in STUDENT_STEPS]
            lines.append(f"| {VARIANTS[variant][0]} | {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "### Cost",
        "",
        "| method | steps | forward passes a step, by stage | before the first step | minutes |",
        "|---" * 5 + "|",
    ]
    for variant in config.variants:
        path = folder / f"{variant}-{config.seeds[0]}" / "figures.json"
        if path.exists():
            row = json.loads(path.read_text())
            costs = ", ".join(f"{cost:.0f}" for cost in row["costs"])
            lines.append(f"| {VARIANTS[variant][0]} | {row['steps']} | {costs} | {row['before']:.0f} | {row['minutes']:.1f} |")
    lines += [
        "",
        f"{config.budget:.0f} forward passes for one picture a run; {len(config.seeds)} seeds; {config.pictures} pictures.",
        "",
    ]
    return "\n".join(lines)


def _said(values: list[float], figure: str) -> str:
    if not values:
        return "–"
    mean, half = interval(values)
    scale, digits = (100, 1) if figure == "recall" else (1, 2)
    width = "" if half == float("inf") else f" ± {scale * half:.{digits}f}"
    return f"{scale * mean:.{digits}f}{width}{' %' if figure == 'recall' else ''}"


def write(config: StudyConfig, folder: Path) -> None:
    """Leave `study.md` and `study.png`."""
    from hypersd_app.distill.evaluation.plots import plot_lines

    (folder / "study.md").write_text(markdown(config, folder), encoding="utf-8")
    panels = {}
    for figure, title in FIGURES.items():
        lines = {}
        for variant in config.variants:
            points = []
            for count in STUDENT_STEPS:
                values = collected(folder, variant, config.seeds, count, figure)
                if values:
                    mean, half = interval(values)
                    points.append((float(count), mean, 0.0 if half == float("inf") else half))
            if points:
                lines[VARIANTS[variant][0]] = points
        teacher = collected(folder, "teacher", config.seeds, TEACHER_STEPS, figure)
        panels[title] = (lines, {"teacher": interval(teacher)[0]} if teacher else {})
    plot_lines(panels, folder / "study.png")
