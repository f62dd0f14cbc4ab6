"""The style stage: a small LoRA that draws everything the teacher knows in one hand, from an icon set or a folder."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from hypersd_app.catalog.builtin import POCKET_GUIDANCE
from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.errors import InvalidRequest
from hypersd_app.models.pocket import PocketUNet, new_scheduler
from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.loop import LoopConfig, Progress, TrainingStage, TrainingState, run_stage
from hypersd_app.training.core.lora import ATTENTION_TARGETS, CONVOLUTION_TARGETS, add_lora, save_lora
from hypersd_app.training.data.dataset import IMAGE_SIZE, ImageDataset
from hypersd_app.training.data.icons.render import on_white_with_alpha
from hypersd_app.training.data.icons.sources import ICON_SETS
from hypersd_app.training.data.latents import encode
from hypersd_app.training.pocket.layout_prior import fills_the_image
from hypersd_app.training.pocket.teacher import Sampler
from hypersd_app.training.style.objectives import Images, Layouts, Lesson, StyleImages, Words
from hypersd_app.training.workspace import Workspace

ADAPTER = "style"
LATENT_HEADS = ("layout.whole_head.", "layout.part_head.")
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MAX_SIDE = 8192
PREVIEW_PROMPTS = ("a cat", "a red apple", "a rocket", "a house", "a robot", "an owl", "a cup of coffee", "a mushroom")
THUMBNAIL_SIDE = 192  # pixels, of four images together


@dataclass(frozen=True, kw_only=True)
class StyleConfig:
    """One style: an icon set of the data, or a folder of images whose file names say what they show.

    `words` name the style in some captions; none are needed to use it. Nothing is compiled: that takes longer than it saves.
    """

    data: str = "pocket"
    set_key: str = ""
    folder: str = ""
    name: str = ""  # of the file; "" takes the run's
    title: str = ""
    words: str = ""
    strength: float = 1.0  # of an icon set's style: how much of the way from what the prior expects
    rank: int = 8
    batch: int = 8  # twice the steps of 16 in the same time, and a small LoRA learns by steps
    lr: float = 1e-3
    ema_decay: float = 0.99
    caption_drop: float = 0.1
    guidance_scale: float = POCKET_GUIDANCE
    seed: int = 0
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=240, warmup=15, cooldown=120, preview_minutes=60))


def _title(words: str) -> str:
    return words.removesuffix(" style").capitalize().replace("3d", "3D")


_SET_LOOP = LoopConfig(steps=400, warmup=15, cooldown=250, preview_minutes=60)

# The whole way of blob and fxemoji would leave fewer than 93 of 100 things as recognizable as they were; the last part of
# emojione's shows in the teacher's outlines alone, and costs words; twemoji's shows in one step as in many a little beyond.
_STRENGTHS = {"blob": 0.85, "fxemoji": 0.55, "emojione": 0.6, "twemoji": 1.1}

PRESETS: dict[str, StyleConfig] = {
    **{
        # Six of rank 4 on the layout prior alone are 1.4 MB: more, and all weights together would pass the 160 MB that ship.
        key: StyleConfig(
            data="fxemoji" if row.held_out else "pocket", set_key=key, rank=4, title=_title(row.style_words[0]),
            words=row.style_words[0], strength=_STRENGTHS.get(key, 1.0), batch=64, lr=3e-3, loop=_SET_LOOP,
        )
        for key, row in ICON_SETS.items()
    },
    "tiny": StyleConfig(
        data="tiny", set_key="noto", title="Tiny", words="tiny style", rank=2, batch=2,
        loop=LoopConfig(steps=3, warmup=1, log_every=1),
    ),
}  # fmt: skip


def read_folder(folder: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Images of a folder at 256 px, as on white with alpha, (N, 256, 256, 4) uint8, and their captions from the file names.

    Raises InvalidRequest unless there are 10 to 2000 readable images.
    """
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_ENDINGS) if folder.is_dir() else []
    if not 10 <= len(files) <= 2000:
        raise InvalidRequest("images", f"{len(files)} images in {folder}", "a folder of 10 to 2000 .png, .jpg or .webp files")
    images = [_read_image(path) for path in files]
    captions = tuple(" ".join(path.stem.replace("_", " ").replace("-", " ").rstrip("0123456789 ").split()) for path in files)
    return np.stack(images), captions


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            if max(image.size) > MAX_SIDE:
                raise InvalidRequest(
                    "images", f"{path.name}, {image.size[0]}x{image.size[1]}", f"images of at most {MAX_SIDE} px per side"
                )
            rgba = image.convert("RGBA")
    except OSError:
        raise InvalidRequest("images", path.name, "readable .png, .jpg or .webp files") from None
    rgba.thumbnail((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (IMAGE_SIZE, IMAGE_SIZE), (255, 255, 255, 0))
    canvas.alpha_composite(rgba, ((IMAGE_SIZE - rgba.width) // 2, (IMAGE_SIZE - rgba.height) // 2))
    return on_white_with_alpha(np.asarray(canvas))


def from_data(workspace: Workspace, set_key: str) -> StyleImages:
    """Drawings of one icon set alone in the middle, training split only, as latents that other stages may have made before."""
    data: ImageDataset = workspace.data
    own = [i for i in data.indices(False) if data.scenes[i].set_key == set_key and fills_the_image(data.scenes[i])]
    latents = torch.from_numpy(workspace.latents[np.asarray(own)].astype(np.float32))
    return StyleImages(latents, tuple(data.caption(int(i), 0, style=False) for i in own))


def lesson_of(config: StyleConfig, workspace: Workspace, folder: Path, progress: Progress) -> tuple[Lesson, Sequence[str]]:
    """What the config says to learn from, and the captions of it. Raises InvalidRequest for an unusable folder."""
    if config.folder:
        images, captions = read_folder(Path(config.folder))
        latents = torch.from_numpy(encode(workspace.autoencoder, images)).float()
        given = (captions, latents, config.words, config.caption_drop, workspace.embed, config.batch, config.seed)
        return Images.of(*given), captions
    shown = from_data(workspace, config.set_key)
    if ICON_SETS[config.set_key].held_out:  # else the prior knows the style by its words already
        kept = folder / "embeddings"
        lesson = Layouts.of(workspace, shown, config.strength, kept, config.batch, config.seed, progress)
        return lesson, shown.captions
    return Words.of(workspace, config.words, config.strength, config.batch, config.seed, progress), shown.captions


def taught_layers(unet: PocketUNet, config: StyleConfig) -> list[str]:
    """The latent heads of the layout prior; for a folder of images the UNet's own layers too."""
    heads = [name for name, layer in unet.named_modules() if isinstance(layer, nn.Linear) and name.startswith(LATENT_HEADS)]
    return [*heads, *ATTENTION_TARGETS, *CONVOLUTION_TARGETS] if config.folder else heads


def train(config: StyleConfig, workspace: Workspace, folder: Path, progress: Progress) -> Path:
    """Train or resume in `folder`; returns the LoRA file; its metadata has title, words, base, licence and a preview."""
    target = folder / f"{config.name or folder.name}.safetensors"
    run_stage(config, folder, progress, lambda: new_stage(config, workspace, target, progress))
    return target


def new_stage(config: StyleConfig, workspace: Workspace, target: Path, progress: Progress) -> TrainingStage:
    """The teacher with an untrained style LoRA, and the objective that the config names."""
    unet = workspace.teacher()
    add_lora(unet, config.rank, ADAPTER, taught_layers(unet, config))
    state = TrainingState.new(unet, lr=config.lr, ema_decay=config.ema_decay)
    lesson, captions = lesson_of(config, workspace, target.parent, progress)
    sampler = Sampler(workspace.embed, workspace.autoencoder, NoiseSchedule.from_scheduler(new_scheduler()))

    def step_function(step: int) -> tuple[Tensor, dict[str, float], int]:
        loss, seen = lesson(unet, step)
        return loss, {}, seen

    def preview(path: Path) -> None:
        drawn = sampler.decode(sampler.latents(unet, list(PREVIEW_PROMPTS), 10, config.guidance_scale, 0))
        contact_sheet(list(drawn), path, labels=PREVIEW_PROMPTS, side=128)
        save_lora(unet, ADAPTER, target, style_metadata(config, captions, thumbnail(drawn)))

    return TrainingStage(state=state, step=step_function, preview=preview)


def thumbnail(images: NDArray[np.uint8]) -> str:
    """The first four of `images` (N, S, S, 3) in a square, as a data URL of a small JPEG."""
    rows = [np.concatenate(list(images[i : i + 2]), axis=1) for i in (0, 2)]
    image = Image.fromarray(np.concatenate(rows)).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def style_metadata(config: StyleConfig, captions: Sequence[str], preview: str) -> dict[str, str]:
    """Metadata under the names of the ModelSpec standard and of kohya's trainer, which other tools read, and our own.

    There is no trigger phrase: the style needs none, and one that the app adds would change the image at any weight.
    """
    row = ICON_SETS.get(config.set_key)
    hint = f"Works without trigger words; '{config.words}' in the prompt strengthens it." if config.words else ""
    texts = {
        "title": config.title,
        "family": "pocket",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": config.title,
        "modelspec.architecture": "pocket/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.author": row.author if row else "",
        "modelspec.license": row.licence if row else "",
        "modelspec.description": f"A style of Pocket, learnt from the icons of {row.package}." if row else "",
        "modelspec.usage_hint": hint,
        "modelspec.thumbnail": preview,
        "ss_output_name": config.name or config.set_key,
        "ss_base_model_version": "pocket",
        "ss_network_dim": str(config.rank),
        "ss_network_alpha": str(config.rank),
        "ss_num_train_images": str(len(captions)),
        "ss_tag_frequency": json.dumps({"style": {config.words: len(captions)}}) if config.words else "",
    }
    return {name: text for name, text in texts.items() if text}
