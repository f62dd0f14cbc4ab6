"""The layout stage: captions to the mean latents of the images they fit, which the teacher then begins from.

All captions are embedded once, before the first step; what is left is a small regression that sees hundreds of captions
a second, where the teacher sees eight images.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.layout import CODED, LATENT_SHAPE, LayoutPrior, LayoutSize, coded, with_code
from hypersd_app.models.pocket import new_scheduler
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.device import to_device, training_device
from hypersd_app.training.core.eval_prompts import EVALUATION_PROMPTS
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.data.captions import Captioner, as_request
from hypersd_app.training.data.dataset import ImageDataset
from hypersd_app.training.data.scenes import Scene
from hypersd_app.training.data.text_encoder import TextEmbedder
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.workspace import LAYOUT_FILE, Workspace

_LONGEST = 20  # tokens kept in memory; longer captions are rare
_CHUNK = 128
_ENCODED = 512  # compositions put together at once


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """`phrasings`: captions written for each image, the last of them as a request. The weights are as the teacher's.

    `candidates`: 0 trains the mean of a caption's images. Else the layout of a random code is one of them, and of so many codes
    the one whose layout is nearest is trained, so that different images are left to different codes.

    `compositions`: how many images of several things are put together from `parts`, and `composed_share` how much of
    each batch they are.
    """

    data: str = "pocket"
    parts: str = "parts"
    candidates: int = 0
    phrasings: int = 2
    compositions: int = 50_000
    composed_share: float = 0.4
    main_weight: float = 4.0
    familiar_weight: float = 5.0
    caption_drop: float = 0.03
    batch: int = 256
    lr: float = 2e-3
    optimizer: str = "muon"
    weight_decay: float = 0.02
    ema_decay: float = 0.995
    seed: int = 0
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=9000, warmup=100, cooldown=6000, log_every=100, preview_minutes=8)
    )


PRESETS: dict[str, LayoutConfig] = {
    "pocket": LayoutConfig(candidates=16),
    "mean": LayoutConfig(),
    "tiny": LayoutConfig(
        data="tiny", parts="tiny", phrasings=1, compositions=8, batch=4, loop=LoopConfig(steps=4, warmup=2, log_every=2)
    ),
}


@dataclass(frozen=True)
class CaptionedLatents:
    """`latents` float16 (N, 16, 16, 16); `phrasings` (N, P), rows of `embeddings` (C, L, 384), whose first is of "" """

    latents: Tensor
    weights: Tensor
    phrasings: Tensor
    embeddings: Tensor


def read_captioned(config: LayoutConfig, workspace: Workspace, folder: Path, progress: Progress) -> CaptionedLatents:
    """The training split's images, and compositions; for means only those of single things that fill the image."""
    captions: dict[str, int] = {"": 0}
    data = workspace.data
    indices = np.asarray([index for index in data.indices(False) if config.candidates or fills_the_image(data.scenes[index])])
    written = [_written(data, int(index), config.phrasings) for index in indices]
    composer = replace(workspace, family=config.parts).compositions
    scenes = [composer.any_scene(random.Random(f"{config.seed}:composition:{row}")) for row in range(config.compositions)]
    captioner = composer.data.captioner
    written += [_phrased(captioner, scene, row, config.phrasings) for row, scene in enumerate(scenes)]
    phrasings = torch.tensor([[captions.setdefault(caption, len(captions)) for caption in row] for row in written])
    composed = [composer.latents(scenes[start : start + _ENCODED]).half() for start in range(0, len(scenes), _ENCODED)]
    weights = np.full(len(indices) + len(scenes), config.composed_share / len(scenes))
    weights[: len(indices)] = (1 - config.composed_share) * data.weights(indices, config.main_weight, config.familiar_weight)
    return CaptionedLatents(
        torch.cat([torch.from_numpy(workspace.latents[indices]), *composed]),
        torch.from_numpy(weights),
        phrasings,
        remembered(list(captions), workspace.embed, folder / "embeddings", progress),
    )


def fills_the_image(scene: Scene) -> bool:
    """Whether one thing stands in the middle, as a caption without a place is understood; moved ones only blur a mean.

    Images of several things are left to the compositions.
    """
    return scene.kind == "accessory" or scene.relation == "big" or scene.placements[0].size == 0.88


def _written(data: ImageDataset, index: int, count: int) -> list[str]:
    captions = [data.caption(index, seed) for seed in range(count)]
    return [*captions[:-1], as_request(captions[-1], random.Random(f"request:{index}"))]


def _phrased(captioner: Captioner, scene: Scene, row: int, count: int) -> list[str]:
    """One caption for all phrasings: there are more compositions than could be seen twice. One in six is a request."""
    rng = random.Random(f"caption:{row}")
    caption = captioner.caption(scene, rng)
    return [as_request(caption, rng) if row % 6 == 0 else caption] * count


def remembered(captions: list[str], embed: TextEmbedder, folder: Path, progress: Progress) -> Tensor:
    """`embed_all`, kept in a file for the next start: it takes minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(chr(10).join(captions).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        np.save(path, embed_all(captions, embed, progress).numpy())
    return torch.from_numpy(np.load(path))


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
    """Train or resume in `folder`; writes the averaged weights to `folder/layout.safetensors`."""
    run_stage(config, folder, progress, lambda: new_stage(config, workspace, folder, progress))


def new_stage(config: LayoutConfig, workspace: Workspace, folder: Path, progress: Progress) -> TrainingStage:
    """The untrained prior, with its regression on captions embedded beforehand."""
    prior = LayoutPrior(CODED if config.candidates else LayoutSize()).to(training_device())
    state = TrainingState.new(
        prior, lr=config.lr, ema_decay=config.ema_decay, optimizer=config.optimizer, weight_decay=config.weight_decay
    )
    seen = read_captioned(config, workspace, folder, progress)
    sampler = Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        chosen = torch.multinomial(seen.weights, config.batch, replacement=True, generator=generator)
        phrasing = torch.randint(config.phrasings, (config.batch,), generator=generator)
        captions = seen.phrasings[chosen, phrasing]
        captions = torch.where(torch.rand(config.batch, generator=generator) < config.caption_drop, 0, captions)
        text, latents = to_device(seen.embeddings[captions].float(), seen.latents[chosen].float())
        if config.candidates:
            (codes,) = to_device(torch.randn(config.batch, config.candidates, prior.size.code, generator=generator))
            text = with_code(text, prior.nearest_code(text, latents, codes))
        return (prior(text) - latents).square().mean(), {}, config.batch

    def preview(path: Path) -> None:
        prompts = list(EVALUATION_PROMPTS)
        with torch.no_grad():
            text = coded(workspace.embed(prompts), prior.size, seeded_noise(range(len(prompts)), LATENT_SHAPE))
            images = sampler.decode(prior(*to_device(text)))
        contact_sheet(list(images), path, labels=prompts, side=128)
        save_file({name: value.contiguous() for name, value in prior.state_dict().items()}, folder / LAYOUT_FILE)

    return TrainingStage(state=state, step=step_function, preview=preview)
