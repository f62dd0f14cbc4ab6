"""Pairs of noise and the teacher's picture of it, made once and kept beside the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from hypersd_app.diffusion.samplers import sample_ddim
from hypersd_app.diffusion.schedules import trailing_timesteps
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.distillation.context import Kit, Pairs

CHUNK = 16
_FAR = 1 << 40  # captions of pairs come from steps that training never reaches
_FIRST_SEED = 1 << 40  # and their noise from seeds that nobody evaluates with


def pair_cost(count: int, steps: int, guidance_scale: float) -> float:
    """Forward passes that pairs take."""
    return count * steps * (1.0 if guidance_scale in (0.0, 1.0) else 2.0)


def make_pairs(kit: Kit, path: Path, progress: Progress) -> Pairs:
    """As many as the config asks for, from `path` as far as they are there; `path` is a float16 (N, C, H, W) .npy file.

    The main process makes them, the others wait.
    """
    config = kit.config.score
    latents, captions = kit.source.batch(_FAR, config.pairs)
    seeds = range(_FIRST_SEED, _FIRST_SEED + config.pairs)
    noise = torch.cat([torch.randn(latents[:1].shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    if kit.workers.is_main:
        _fill(kit, path, noise, captions, progress)
    kit.workers.wait()
    return Pairs(noise, torch.from_numpy(np.load(path).astype(np.float32)), captions)


def _fill(kit: Kit, path: Path, noise: torch.Tensor, captions: list[str], progress: Progress) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or np.load(path, mmap_mode="r").shape != tuple(noise.shape):
        np.lib.format.open_memmap(path, "w+", np.float16, tuple(noise.shape)).flush()
    kept = np.load(path, mmap_mode="r+")
    missing = np.flatnonzero(~kept.any((1, 2, 3)))
    times = trailing_timesteps(kit.schedule.num_timesteps, kit.config.score.pair_steps)
    for start in range(0, len(missing), CHUNK):
        rows = missing[start : start + CHUNK]
        told = kit.source.condition([captions[row] for row in rows]).to(kit.device)
        made = sample_ddim(kit.guided_teacher(told), noise[rows].to(kit.device), times, kit.schedule)
        kept[rows] = made.float().cpu().numpy()
        kept.flush()
        progress(start + len(rows), len(missing), {})
