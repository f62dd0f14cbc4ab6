"""What is measured of every row: does the image fit its words, how far is it from real ones, how much do images differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.training.distillation.train import FewStepSampler
from hypersd_app.training.evaluation.distances import diversity, frechet, kernel_distance
from hypersd_app.training.evaluation.features import Spaces, judge_of
from hypersd_app.training.evaluation.models import STUDENT_STEPS, TEACHER_STEPS, new_sampler
from hypersd_app.training.study.comparisons import BLOCKS, prompt_blocks
from hypersd_app.training.study.config import NAMED_SPACE, StudyConfig
from hypersd_app.training.study.proxy import Proxy
from hypersd_app.training.workspace import Workspace

Figures = dict[str, float]
Blocks = list[float]  # the named figure of each part of the prompts
Draw = Callable[[list[str], int], Tensor]


class Measure:
    """Judges, captions and real images, the same for every row. Raises ModelUnavailable before both judges were trained."""

    def __init__(self, config: StudyConfig, proxy: Proxy, workspace: Workspace) -> None:
        self.config, self.proxy = config, proxy
        self.sampler = new_sampler(workspace)
        self.judge = judge_of(workspace)
        data = workspace.data
        self.plain = [data.caption(int(index), 0, style=False) for index in proxy.asked]
        self.names = list(dict.fromkeys(self.plain))
        rng = np.random.default_rng(config.seed)
        real = data.images[np.sort(rng.permutation(proxy.training)[: max(config.pictures, 16)])]
        self.spaces = Spaces.of(workspace, self.judge, real)
        self.reference = self.spaces(real)
        prompts = list(dict.fromkeys(proxy.captions))[: config.diversity_prompts]
        self.diverse = [prompt for prompt in prompts for _ in range(config.diversity_seeds)]

    def teacher(self, unet: Any, seed: int) -> dict[str, Figures]:
        """Of the teacher, guided."""
        guidance = self.config.guidance_scale
        figures, _ = self._figures(lambda some, first: self.sampler.latents(unet, some, TEACHER_STEPS, guidance, first), seed)
        return {str(TEACHER_STEPS): figures}

    def student(self, unet: Any, eta: float, timestep: int, seed: int) -> tuple[dict[str, Figures], dict[str, Blocks]]:
        """Of a student by number of steps, drawn with its method's `eta`; with one step it is told `timestep`, -1 being T - 1."""
        few = FewStepSampler(self.sampler)

        def draw(steps: int) -> Draw:
            start = timestep if steps == 1 else -1
            return lambda prompts, first: few.latents(unet, prompts, steps, first, eta, start)

        found = {str(steps): self._figures(draw(steps), seed) for steps in STUDENT_STEPS}
        return {steps: figures for steps, (figures, _) in found.items()}, {steps: blocks for steps, (_, blocks) in found.items()}

    def _figures(self, draw: Draw, seed: int) -> tuple[Figures, Blocks]:
        first = 50_000 * (seed + 1)  # of the noise: no two seeds share any
        images = self.sampler.decode(draw(self.proxy.captions, first))
        figures = {"recall": float(self.judge.hits(images, self.plain, self.names, seed).mean())}
        seen = self.spaces(images)
        for name, made in seen.items():
            figures[f"frechet_{name}"] = frechet(made, self.reference[name])
            figures[f"kernel_{name}"] = kernel_distance(made, self.reference[name])
        several = self.sampler.decode(draw(self.diverse, first + 10_000))
        for name, rows in self.spaces(several).items():
            figures[f"diversity_{name}"] = diversity(rows.reshape(-1, self.config.diversity_seeds, rows.shape[1]))
        return figures, self._blocks(seen[NAMED_SPACE])

    def _blocks(self, made: NDArray[np.floating]) -> Blocks:
        """Each part's kernel distance to all real images; fewer parts of few images, as a single one has none."""
        parts = prompt_blocks(len(made), max(1, min(BLOCKS, len(made) // 2)))
        return [kernel_distance(made[rows], self.reference[NAMED_SPACE]) for rows in parts]
