"""The style stage: a small LoRA that draws everything the teacher knows in one hand, from an icon set or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.distill.data.dataset import PICTURE_SIZE, PictureData
from hypersd_app.distill.data.sources import ICON_SETS
from hypersd_app.distill.lora import add_lora, save_lora
from hypersd_app.distill.optimizers import ExponentialAverage, build_optimizers
from hypersd_app.distill.precision import mixed_precision
from hypersd_app.distill.previews import contact_sheet, from_uint8
from hypersd_app.distill.runs import LoopConfig, Progress, RunFolder, TrainingState, run_loop
from hypersd_app.distill.teacher import Sampler, diffusion_loss, draw_timesteps
from hypersd_app.distill.workspace import Workspace
from hypersd_app.errors import InvalidRequest
from hypersd_app.models.autoencoder import PocketAutoencoder
from hypersd_app.models.pocket import new_scheduler

ADAPTER = "style"
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MAX_SIDE = 8192
PREVIEW_PROMPTS = ("a cat", "a red apple", "a rocket", "a house", "a robot", "an owl", "a cup of coffee", "a mushroom")


@dataclass(frozen=True)
class StyleConfig:
    """One style: an icon set of the data, or a folder of pictures whose file names say what they show."""

    data: str = "pocket"
    set_key: str = ""
    folder: str = ""
    title: str = ""
    trigger: str = ""
    rank: int = 8
    batch: int = 16
    lr: float = 5e-4
    ema_decay: float = 0.99
    caption_drop: float = 0.1
    guidance_scale: float = 4.0
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=500, warmup=30, cooldown=200, preview_minutes=5))


PRESETS: dict[str, StyleConfig] = {
    **{
        key: StyleConfig(
            data="fxemoji" if row.held_out else "pocket", set_key=key, title=row.style_words[0].title(), trigger=row.style_words[0]
        )
        for key, row in ICON_SETS.items()
    },
    "tiny": StyleConfig(
        data="tiny", set_key="noto", title="Tiny", rank=2, batch=2, loop=LoopConfig(steps=3, warmup=1, log_every=1)
    ),
}


@dataclass(frozen=True)
class StylePictures:
    """What a style is learnt from: latents float32 (N, 16, 16, 16) and a caption without style words for each."""

    latents: Tensor
    captions: tuple[str, ...]


def read_folder(folder: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Pictures of a folder on white at 256 px, (N, 256, 256, 3) uint8, and their captions from the file names.

    Raises InvalidRequest unless there are 10 to 2000 readable pictures.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURE_ENDINGS) if folder.is_dir() else []
    if not 10 <= len(files) <= 2000:
        raise InvalidRequest("images", f"{len(files)} pictures in {folder}", "a folder of 10 to 2000 .png, .jpg or .webp files")
    pictures = [_read_picture(path) for path in files]
    captions = tuple(" ".join(path.stem.replace("_", " ").replace("-", " ").rstrip("0123456789 ").split()) for path in files)
    return np.stack(pictures), captions


def _read_picture(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            if max(image.size) > MAX_SIDE:
                raise InvalidRequest(
                    "images", f"{path.name}, {image.size[0]}x{image.size[1]}", f"pictures of at most {MAX_SIDE} px a side"
                )
            rgba = image.convert("RGBA")
    except OSError:
        raise InvalidRequest("images", path.name, "readable .png, .jpg or .webp files") from None
    rgba.thumbnail((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (PICTURE_SIZE, PICTURE_SIZE), "white")
    canvas.alpha_composite(rgba, ((PICTURE_SIZE - rgba.width) // 2, (PICTURE_SIZE - rgba.height) // 2))
    return np.asarray(canvas.convert("RGB"))


@torch.no_grad()
def encode(pictures: NDArray[np.uint8], autoencoder: PocketAutoencoder) -> Tensor:
    """Pictures to latents, float32 (N, 16, 16, 16)."""
    parts = [autoencoder.encode(from_uint8(pictures[i : i + 16]), return_dict=False)[0].mode() for i in range(0, len(pictures), 16)]  # type: ignore[union-attr]
    return torch.cat(parts).float()


def from_data(data: PictureData, set_key: str, autoencoder: PocketAutoencoder, limit: int = 1200) -> StylePictures:
    """Single drawings of one icon set, training split only."""
    indices = [int(i) for i in data.indices(False) if data.scenes[i].set_key == set_key and data.scenes[i].kind == "single"]
    indices = sorted(np.random.default_rng(0).permutation(indices)[:limit].tolist())
    return StylePictures(encode(data.pictures[indices], autoencoder), tuple(data.caption(i, 0, style=False) for i in indices))


def style_pictures(config: StyleConfig, workspace: Workspace) -> StylePictures:
    """What the config says to learn from. Raises InvalidRequest for an unusable folder."""
    if config.folder:
        pictures, captions = read_folder(Path(config.folder))
        return StylePictures(encode(pictures, workspace.autoencoder), captions)
    return from_data(workspace.data, config.set_key, workspace.autoencoder)


def train(config: StyleConfig, workspace: Workspace, folder: Path, progress: Progress) -> Path:
    """Train or resume in `folder`; returns the LoRA file, with title, trigger words, base and licence in its metadata."""
    torch.manual_seed(config.seed)
    unet = workspace.teacher()
    add_lora(unet, config.rank, ADAPTER)
    state = TrainingState(unet, build_optimizers(unet, "adamw", config.lr), ExponentialAverage(unet, config.ema_decay))
    run, schedule = RunFolder(folder), NoiseSchedule.from_scheduler(new_scheduler())
    run.save_config(config)
    run.resume(state)
    pictures, embed = style_pictures(config, workspace), workspace.embed
    sampler, target = Sampler(embed, workspace.autoencoder, schedule), folder / f"{folder.name}.safetensors"

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        rng = np.random.default_rng((config.seed, step, 4))
        chosen = rng.integers(len(pictures.captions), size=config.batch)
        captions = ["" if rng.random() < config.caption_drop else pictures.captions[index] for index in chosen]
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        x0, t = pictures.latents[chosen], draw_timesteps(config.batch, schedule.num_timesteps, 0.3, generator)
        with mixed_precision():
            loss = diffusion_loss(unet, x0, embed(captions), t, schedule, generator).mean()
        return loss, {}, len(x0)

    def preview(step: int) -> None:
        state.ema.swap()
        drawn = sampler.decode(sampler.latents(unet, list(PREVIEW_PROMPTS), 10, config.guidance_scale, 0))
        contact_sheet(list(drawn), run.previews / f"{step:06d}.png", labels=PREVIEW_PROMPTS, side=128)
        save_lora(unet, ADAPTER, target, style_metadata(config, pictures.captions))
        state.ema.swap()

    run_loop(run, state, config.loop, step_function, preview, progress)
    return target


def style_metadata(config: StyleConfig, captions: Sequence[str]) -> dict[str, str]:
    """Metadata under the names that the model-sharing sites' tools read, and our own."""
    licence = ICON_SETS[config.set_key].licence if config.set_key in ICON_SETS else ""
    return {
        "title": config.title,
        "trigger": config.trigger,
        "family": "pocket",
        "modelspec.title": config.title,
        "modelspec.trigger_phrase": config.trigger,
        "modelspec.license": licence,
        "ss_base_model_version": "pocket",
        "ss_network_dim": str(config.rank),
        "ss_num_train_images": str(len(captions)),
    }
