"""The sketches stage: what a drawing changes of a caption's layout, a regression to mean latents as the layout prior is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.distill.controlnet import moved_together
from hypersd_app.distill.data.captions import with_article
from hypersd_app.distill.data.dataset import PictureData
from hypersd_app.distill.data.scenes import Scene
from hypersd_app.distill.data.scribbles import Share, scribble
from hypersd_app.distill.latents import blank_latents
from hypersd_app.distill.layout import fills_the_picture, remembered
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.precision import MEMORY_FORMAT
from hypersd_app.distill.previews import contact_sheet
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.teacher import Sampler
from hypersd_app.distill.workspace import DRAWN_FILE, Workspace
from hypersd_app.models.controlnet import DrawnLayout, PocketControlNet
from hypersd_app.models.layout import LayoutPrior, changed
from hypersd_app.models.pictures import control_tensor
from hypersd_app.models.pocket import new_scheduler

_INKED = 60  # between the strongest and weakest channel of a stroke that has a colour
_COLOURS_LEFT_TO_THE_INK = 0.8
_SPAN = 100  # pictures a worker draws at once
RECOLOURED = Share(filled=0.25, outlined=0.5)  # of pictures in unusual colours: those are what ink is for


@dataclass(frozen=True)
class SketchConfig:
    """`parts_share`: how much of a batch shows small things, which people draw anywhere."""

    data: str = "pocket"
    parts: str = "parts"
    parts_share: float = 0.3
    main_weight: float = 4.0
    familiar_weight: float = 4.0
    caption_drop: float = 0.3
    most_cells: int = 5
    batch: int = 48
    lr: float = 2e-3
    optimizer: str = "muon"
    ema_decay: float = 0.995
    workers: int = 2
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=3000, warmup=50, cooldown=1500, preview_minutes=6))


PRESETS: dict[str, SketchConfig] = {
    "pocket": SketchConfig(),
    "tiny": SketchConfig(data="tiny", parts="tiny", batch=4, workers=1, loop=LoopConfig(steps=4, warmup=2, log_every=2)),
}


@dataclass(frozen=True)
class Sketched:
    """Pictures with a drawing of each: latents float16 (N, 16, 16, 16), controls uint8 (N, 256, 256, 3), captions embedded."""

    latents: Tensor
    controls: NDArray[np.uint8]
    weights: Tensor
    embeddings: Tensor  # (N + 1, L, 384); the last is of ""


def read_sketched(config: SketchConfig, workspace: Workspace, folder: Path, progress: Progress) -> Sketched:
    """The training split's pictures of single things. What is drawn and embedded is kept in `folder`."""
    parts = replace(workspace, family=config.parts)
    whole = [i for i in workspace.data.indices(False) if fills_the_picture(workspace.data.scenes[i])]
    small = [i for i in parts.data.indices(False) if parts.data.scenes[i].kind == "part"]
    sources = [(workspace, np.asarray(whole), 1 - config.parts_share), (parts, np.asarray(small), config.parts_share)]
    controls, captions, latents, weights = [], [], [], []
    for part, (source, indices, share) in enumerate(sources):
        drawn = drawings(source.data, indices, folder / f"controls-{part}.npy", config, progress)
        controls.append(drawn)
        captions += [caption(source.data, int(i), control, config.seed) for i, control in zip(indices, drawn, strict=True)]
        latents.append(torch.from_numpy(source.latents[indices]))
        weights.append(share * source.data.weights(indices, config.main_weight, config.familiar_weight))
    embeddings = remembered([*captions, ""], workspace.embed, folder / "embeddings", progress)
    return Sketched(torch.cat(latents), np.concatenate(controls), torch.from_numpy(np.concatenate(weights)), embeddings)


def drawings(
    data: PictureData, indices: NDArray[np.int64], path: Path, config: SketchConfig, progress: Progress
) -> NDArray[np.uint8]:
    """A drawing of each picture, made once by worker processes."""
    if not path.exists():
        spans = [indices[start : start + _SPAN] for start in range(0, len(indices), _SPAN)]
        found: list[NDArray[np.uint8]] = []
        # Spawned: a forked worker inherits signal handlers and locks of a process that has threads.
        with ProcessPoolExecutor(config.workers, get_context("spawn")) as pool:
            for part in pool.map(_draw_span, [(data.folder, span, config.seed) for span in spans]):
                found.append(part)
                progress(len(found), len(spans), {})
        np.save(path, np.concatenate(found))
    return np.load(path, mmap_mode="r")


def _draw_span(job: tuple[Path, NDArray[np.int64], int]) -> NDArray[np.uint8]:
    folder, indices, seed = job
    data = PictureData(folder)
    shares = [RECOLOURED if _recoloured(data.scenes[index]) else Share() for index in indices]
    pictures = (np.ascontiguousarray(data.pictures[index]) for index in indices)
    rngs = (np.random.default_rng((seed, int(index))) for index in indices)
    return np.stack([scribble(*row) for row in zip(pictures, rngs, shares, strict=True)])


def _recoloured(scene: Scene) -> bool:
    return len(scene.placements) == 1 and bool(scene.placements[0].colour)


def caption(data: PictureData, index: int, control: NDArray[np.uint8], seed: int) -> str:
    """A caption that mostly leaves an unusual colour to the ink, where the drawing has any: else ink would not matter."""
    scene, rng = data.scenes[index], random.Random(f"{seed}:{index}")
    inked = bool((np.ptp(control[::4, ::4], axis=-1) > _INKED).any())
    if _recoloured(scene) and inked and rng.random() < _COLOURS_LEFT_TO_THE_INK:
        return with_article(data.concepts[scene.placements[0].concept].noun)
    return data.caption(index, seed)


def train(config: SketchConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train or resume in `folder`, from the shipped ControlNet's; the averaged weights are left in `folder/drawn.safetensors`."""
    torch.manual_seed(config.seed)
    initial = workspace.initial("sketches", folder.name, "controlnet")
    drawn = PocketControlNet.from_pretrained(initial).drawn.float() if initial else DrawnLayout()
    drawn, prior = drawn.to(memory_format=MEMORY_FORMAT), LayoutPrior().requires_grad_(False)
    prior.load_state_dict(workspace.layout())
    optimizers = build_optimizers(drawn, config.optimizer, config.lr)
    state = TrainingState(drawn, optimizers, ExponentialAverage(drawn, config.ema_decay))
    run = RunFolder(folder)
    run.save_config(config)
    run.resume(state)
    seen, blank = read_sketched(config, workspace, folder, progress), blank_latents(workspace.autoencoder)

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        chosen = torch.multinomial(seen.weights, config.batch, replacement=True, generator=generator)
        x0, control = seen.latents[chosen].float(), control_tensor(torch.from_numpy(seen.controls[chosen.numpy()]))
        moved_together(x0, control, blank, config.most_cells, np.random.default_rng((config.seed, step)))
        dropped = torch.rand(config.batch, generator=generator) < config.caption_drop
        text = seen.embeddings[torch.where(dropped, len(seen.embeddings) - 1, chosen)].float()
        loss = (changed(prior(text), drawn(control, text)) - x0).square().mean()
        return loss, {}, config.batch

    sampler = Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))

    def preview(step: int) -> None:
        state.ema.swap()
        draw_preview(seen, prior, drawn, sampler.decode, run.previews / f"{step:06d}.png")
        save_file({name: value.contiguous() for name, value in drawn.state_dict().items()}, folder / DRAWN_FILE)
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)


@torch.no_grad()
def draw_preview(
    seen: Sketched, prior: LayoutPrior, drawn: DrawnLayout, decode: Callable[[Tensor], NDArray[np.uint8]], path: Path
) -> None:
    """Drawing, layout and changed layout of some pictures, side by side."""
    rows = torch.linspace(0, len(seen.latents) - 1, 24).long()
    text, control = seen.embeddings[rows].float(), torch.from_numpy(seen.controls[rows.numpy()])
    layout = prior(text)
    after = changed(layout, drawn(control_tensor(control), text))
    columns: Sequence[NDArray[np.uint8]] = (255 - control.numpy(), decode(layout), decode(after))
    contact_sheet([picture for row in zip(*columns, strict=True) for picture in row], path, columns=9, side=128)
