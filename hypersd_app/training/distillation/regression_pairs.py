"""Pairs of noise and the image the teacher samples from it, computed once and cached in the run folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hypersd_app.diffusion.guidance import is_guided
from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.distillation.context import Context, Pairs

CHUNK = 16
_FAR = 1 << 40  # a step that training never reaches: the source of the pairs' captions
_FIRST_SEED = 1 << 40  # no evaluation uses these seeds


def pair_cost(count: int, steps: int, guidance_scale: float) -> float:
    """Forward passes that `count` pairs cost, guidance counting twice."""
    return count * steps * (2.0 if is_guided(guidance_scale) else 1.0)


def make_pairs(context: Context, path: Path, progress: Progress) -> Pairs:
    """`config.score.pairs` pairs; images already in `path`, a float16 (N, C, H, W) .npy file, are reused.

    Every process samples its part of the missing ones.
    """
    config = context.config.score
    latents, captions = context.source.batch(_FAR, config.pairs)
    seeds = range(_FIRST_SEED, _FIRST_SEED + config.pairs)
    noise = seeded_noise(seeds, latents.shape[1:])
    if context.processes.is_main_process:
        _create(path, tuple(noise.shape))
    context.processes.wait_for_everyone()
    missing = np.flatnonzero(~np.load(path, mmap_mode="r").any((1, 2, 3)))
    context.processes.wait_for_everyone()  # nobody writes before all have looked
    _fill(context, path, missing[context.processes.process_index :: context.processes.num_processes], (noise, captions), progress)
    context.processes.wait_for_everyone()
    return Pairs(noise, torch.from_numpy(np.load(path).astype(np.float32)), captions)


def _create(path: Path, shape: tuple[int, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
        np.lib.format.open_memmap(path, "w+", np.float16, shape).flush()


def _fill(
    context: Context, path: Path, missing: NDArray[np.int64], drawn: tuple[torch.Tensor, list[str]], progress: Progress
) -> None:
    kept, (noise, captions) = np.load(path, mmap_mode="r+"), drawn
    times = trailing_timesteps(context.schedule.num_timesteps, context.config.score.pair_steps)
    for start in range(0, len(missing), CHUNK):
        rows = missing[start : start + CHUNK]
        conditioning = context.source.condition([captions[row] for row in rows], noise=noise[rows]).to(context.device)
        made = sample_ddim(context.guided_teacher(conditioning), noise[rows].to(context.device), times, context.schedule)
        kept[rows] = made.float().cpu().numpy()
        kept.flush()
        progress(start + len(rows), len(missing), {})
