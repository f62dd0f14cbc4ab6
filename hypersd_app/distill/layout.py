"""The layout stage: captions to the mean latents of the pictures they fit, which the teacher then begins from.

All captions are embedded once, before the first step; what is left is a small regression that sees thousands of captions
a second, where the teacher sees eight pictures.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.distill.data.captions import as_request
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.prompts import EVALUATION_PROMPTS
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.teacher import Sampler
from hypersd_app.distill.text import TextEmbedder
from hypersd_app.distill.workspace import LAYOUT_FILE, Workspace
from hypersd_app.models.layout import LayoutPrior
from hypersd_app.models.pocket import new_scheduler

_LONGEST = 20  # tokens kept in memory; longer captions are rare
_CHUNK = 128


@dataclass(frozen=True)
class LayoutConfig:
    """`phrasings`: captions written for each picture, the last of them as a request. The weights are as the teacher's.

    `shares`: how much more often a picture of each data set is shown than one of the first.
    """

    data: tuple[str, ...] = ("pocket", "compositions")
    shares: tuple[float, ...] = (1.0, 2.0)
    phrasings: int = 3
    main_weight: float = 4.0
    familiar_weight: float = 6.0
    caption_drop: float = 0.03
    batch: int = 256
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.995
    seed: int = 0
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=9000, warmup=100, cooldown=6000, log_every=100, preview_minutes=30)
    )


PRESETS: dict[str, LayoutConfig] = {
    "pocket": LayoutConfig(),
    "tiny": LayoutConfig(data=("tiny",), shares=(1.0,), phrasings=1, batch=4, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


@dataclass(frozen=True)
class CaptionedLatents:
    """`latents` float16 (N, 16, 16, 16); `phrasings` (N, P), rows of `embeddings` (C, L, 384), whose first is of "" """

    latents: Tensor
    weights: Tensor
    phrasings: Tensor
    embeddings: Tensor


def read_captioned(config: LayoutConfig, workspace: Workspace, progress: Progress) -> CaptionedLatents:
    """The training split of all data sets of the config."""
    latents: list[NDArray[np.float16]] = []
    weights: list[NDArray[np.float64]] = []
    captions: dict[str, int] = {"": 0}
    rows: list[list[int]] = []
    for name, share in zip(config.data, config.shares, strict=True):
        part = replace(workspace, family=name)
        indices = part.data.indices(False)
        latents.append(part.latents[indices])
        # Not normalised in each, so that a small data set's pictures are not shown more often for being few.
        weights.append(share * len(indices) * part.data.weights(indices, config.main_weight, config.familiar_weight))
        for index in indices:
            written = [part.data.caption(int(index), seed) for seed in range(config.phrasings)]
            written[-1] = as_request(written[-1], random.Random(f"request:{name}:{index}"))
            rows.append([captions.setdefault(caption, len(captions)) for caption in written])
    embeddings = embed_all(list(captions), workspace.embed, progress)
    return CaptionedLatents(
        torch.from_numpy(np.concatenate(latents)), torch.from_numpy(np.concatenate(weights)), torch.tensor(rows), embeddings
    )


def embed_all(captions: list[str], embed: TextEmbedder, progress: Progress) -> Tensor:
    """float16 (len(captions), _LONGEST, 384); those of one length go together, so that little padding is computed."""
    embeddings = torch.zeros(len(captions), _LONGEST, embed.encoder.config.hidden_size, dtype=torch.float16)
    order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
    for start in range(0, len(order), _CHUNK):
        some = order[start : start + _CHUNK]
        embeddings[some] = embed([captions[index] for index in some])[:, :_LONGEST].half()
        progress(start, len(order), {})
    return embeddings


def train(config: LayoutConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`; the averaged weights are left in `folder/layout.safetensors`."""
    torch.manual_seed(config.seed)
    prior = LayoutPrior()
    state = TrainingState(
        prior, build_optimizers(prior, "adamw", config.lr, config.weight_decay), ExponentialAverage(prior, config.ema_decay)
    )
    run = RunFolder(folder)
    run.save_config(config)
    run.resume(state)
    seen = read_captioned(config, workspace, progress)
    sampler = Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        chosen = torch.multinomial(seen.weights, config.batch, replacement=True, generator=generator)
        phrasing = torch.randint(config.phrasings, (config.batch,), generator=generator)
        said = seen.phrasings[chosen, phrasing]
        said = torch.where(torch.rand(config.batch, generator=generator) < config.caption_drop, 0, said)
        loss = (prior(seen.embeddings[said].float()) - seen.latents[chosen].float()).square().mean()
        return loss, {}, config.batch

    def preview(step: int) -> None:
        state.ema.swap()
        prompts = list(EVALUATION_PROMPTS)
        with torch.no_grad():
            pictures = sampler.decode(prior(workspace.embed(prompts)))
        contact_sheet(list(pictures), run.previews / f"{step:06d}.png", labels=prompts, side=128)
        save_file({name: value.contiguous() for name, value in prior.state_dict().items()}, folder / LAYOUT_FILE)
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)
