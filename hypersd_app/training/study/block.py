"""One seed of a study: the teacher's row, the trunk that TSCD's additions share, and the rows of all variants."""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypersd_app.catalog.builtin import ACCELERATOR
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.pocket import PocketUNet, new_scheduler
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import memory_format
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import CHECKPOINT, Progress
from hypersd_app.training.core.lora import fuse_lora
from hypersd_app.training.critics.registry import open_reward, open_segmenter
from hypersd_app.training.distillation.losses.dmd import DistributionMatchingLoss
from hypersd_app.training.distillation.losses.reward import FeedbackLoss
from hypersd_app.training.distillation.pocket_source import PocketSource
from hypersd_app.training.distillation.regression_pairs import pair_cost
from hypersd_app.training.distillation.step import Distiller, forward_equivalents
from hypersd_app.training.distillation.train import FewStepSampler, TeacherModel, distil, new_context
from hypersd_app.training.study.budget import Costs, Plan, continued_plan, remembered, whole_plan
from hypersd_app.training.study.clock import Clock
from hypersd_app.training.study.config import TEACHER, TRUNK, VARIANTS, StudyConfig, Variant, row_key, student_config
from hypersd_app.training.study.measure import Measure
from hypersd_app.training.study.proxy import Proxy
from hypersd_app.training.study.rows import Row, Rows
from hypersd_app.training.workspace import Workspace

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Runs and measures rows of one seed; what `rows` has already is left alone.

    `stamp` is the block's, of `block_stamp`; `folder` keeps its unfinished runs.
    """

    config: StudyConfig
    seed: int
    stamp: str
    proxy: Proxy
    workspace: Workspace
    teacher_path: Path
    measure: Measure
    rows: Rows
    processes: Processes
    folder: Path
    progress: Progress
    clock: Clock

    def run(self, name: str) -> bool:
        """The row of the teacher or of a variant; False where time ran out before it was finished."""
        key = row_key(self.config, name)
        if self.rows.has(key, self.stamp, name, self.seed):
            return True
        if self.clock.over:
            return False
        if name == TEACHER:
            self.rows.add(Row(key, self.stamp, name, self.seed, self.measure.teacher(self.unet().eval(), self.seed)))
            return True
        variant, plan = VARIANTS[name], self.plan(name)
        folder = self._run_folder(name)
        if variant.goes_on and not self._begin_at_trunk(folder):
            return False
        began = time.monotonic()
        if not self._distil(variant, plan, folder) or self.clock.over:
            return False
        minutes, unet = (time.monotonic() - began) / 60, self.unet().eval()
        fuse_lora(unet, folder / ACCELERATOR)
        figures, parts = self.measure.student(unet, variant.method.eta, variant.timestep, self.seed)
        steps = [steps for _, steps in plan.stages]
        row = Row(key, self.stamp, name, self.seed, figures, steps, list(plan.costs), plan.before, minutes, parts)
        self.rows.add(row)
        return True

    def _begin_at_trunk(self, folder: Path) -> bool:
        """Let a run that was never begun resume where the trunk ended, which is trained for the first that asks."""
        if (folder / CHECKPOINT).exists():
            return True
        trunk = self._run_folder("trunk")
        if not self._distil(TRUNK, self.trunk_plan(), trunk):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trunk / CHECKPOINT, folder / "begun")
        (folder / "begun").replace(folder / CHECKPOINT)
        return True

    def _distil(self, variant: Variant, plan: Plan, folder: Path) -> bool:
        """Train or resume; whether the last step was reached."""
        # The trunk's learning rate stays up: what goes on from it has the fall to zero, over a quarter of all steps.
        cooldown = 0 if variant is TRUNK else plan.steps // 4
        warmed_up = self.trunk_plan().steps if variant.goes_on or variant is TRUNK else plan.steps // 2
        config = student_config(self.config, variant, self.seed, plan.stages, max(1, warmed_up // 15), cooldown)
        config = replace(config, loop=replace(config.loop, minutes=self.clock.left))
        logger.info("%s, seed %d: %s steps for %.0f forward passes", variant.title, self.seed, plan.stages, plan.spent)
        return distil(config, self.teacher_model(), self.processes, folder, self.progress)

    def _run_folder(self, name: str) -> Path:
        return self.folder / f"{name}-{self.seed}-{self._key(name)}"

    def _key(self, name: str) -> str:
        return row_key(self.config, "tscd" if name == "trunk" else name)

    def unet(self) -> PocketUNet:
        """A fresh copy of the proxy's teacher."""
        return PocketUNet.from_pretrained(self.teacher_path).float().to(memory_format=memory_format())

    def teacher_model(self) -> TeacherModel:
        """The proxy with its data, for `distil`."""
        processes, workspace, prompts = self.processes, self.workspace, self.proxy.captions[:12]
        source = PocketSource(
            workspace,
            caption_drop=0.05,
            seed=self.seed + 7,
            indices=self.proxy.training,
            precision=processes.autocast,
            device=processes.device,
        )
        sampler = self.measure.sampler

        def preview(unet: Any, path: Path) -> None:
            few = FewStepSampler(sampler)
            images = [image for steps in (1, 4) for image in sampler.decode(few.latents(unet, prompts, steps, 0))]
            contact_sheet(images, path, labels=[f"{steps}: {prompt}" for steps in (1, 4) for prompt in prompts], side=128)

        schedule = NoiseSchedule.from_scheduler(new_scheduler())
        reward, segmenter = (lambda name: open_reward(name, workspace)), (lambda: open_segmenter(workspace))
        return TeacherModel(
            family="study",
            unet=self.unet(),
            schedule=schedule,
            source=source,
            reward=reward,
            segmenter=segmenter,
            preview=preview,
        )

    def plan(self, name: str) -> Plan:
        """The steps that the budget buys a variant."""
        variant, (costs, before) = VARIANTS[name], self._costs(name)
        if variant.goes_on:
            return continued_plan(self.config.budget, self.trunk_plan(), variant.method.stages[-1][0], costs[-1], before)
        return whole_plan(self.config.budget, variant.method.stages, costs, before)

    def trunk_plan(self) -> Plan:
        """TSCD's stages but the last, for the trunk's share of the budget."""
        return whole_plan(self.config.trunk * self.config.budget, TRUNK.method.stages[:-1], self._costs("trunk")[0])

    def _costs(self, name: str) -> Costs:
        path = self.folder / "costs" / f"{name}-{self._key(name)}.json"
        return remembered(path, lambda: self._measured_costs(TRUNK if name == "trunk" else VARIANTS[name], path.with_suffix("")))

    def _measured_costs(self, variant: Variant, folder: Path) -> Costs:
        """Of steps that are really run, on a small batch: a step costs the same for each image.

        Of all stages of a whole run, of those that the trunk has, or of the last alone of what goes on from it.
        """
        count, score = math.lcm(2, self.config.score.thin, self.config.feedback.thin), self.config.score
        several = 8 * self.config.feedback.every  # rewards are asked now and then, for images of one step or of more
        stages = tuple((segments, several) for segments, _ in variant.method.stages)
        config = student_config(self.config, variant, self.config.seed, stages, 1, 0)  # of all seeds alike
        config = replace(config, batch=count, score=replace(config.score, pairs=min(2, score.pairs)))
        distiller = Distiller(new_context(config, self.teacher_model(), self.processes, folder, lambda *_: None))
        repeats = several if any(isinstance(loss, FeedbackLoss) for loss in distiller.losses) else 1
        costs = []
        places = list(range(len(stages)))
        for place in places[-1:] if variant.goes_on else places[:-1] if variant is TRUNK else places:
            whole = sum(forward_equivalents(distiller, place * several + step) for step in range(repeats))
            costs.append(whole / repeats * self.config.batch / count)
        scored = any(isinstance(loss, DistributionMatchingLoss) for loss in distiller.losses)
        return costs, pair_cost(score.pairs, score.pair_steps, self.config.guidance_scale) if scored else 0.0
