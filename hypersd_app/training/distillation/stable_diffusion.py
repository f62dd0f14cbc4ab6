"""Stable Diffusion 1.5 and SDXL as teachers: a diffusers folder and a folder of captioned images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image
from torch import Tensor

from hypersd_app.diffusion.samplers import sample_tcd
from hypersd_app.diffusion.schedules import NoiseSchedule, trailing_timesteps
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.contact_sheet import contact_sheet, from_uint8, to_uint8
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.critics.mask_rcnn import MaskRCNNSegmenter
from hypersd_app.training.critics.protocols import Reward
from hypersd_app.training.critics.registry import open_reward
from hypersd_app.training.data.aspect_buckets import fitted
from hypersd_app.training.data.shards import Shards
from hypersd_app.training.distillation.cached_source import CachedSource, is_cache, write_shards
from hypersd_app.training.distillation.config import StudentConfig
from hypersd_app.training.distillation.train import TeacherModel, distil, offer_feedback
from hypersd_app.training.workspace import Workspace

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MOST_IMAGES = 1_000_000
_PIPELINES = {
    "StableDiffusionPipeline": ("sd15", StableDiffusionPipeline),
    "StableDiffusionXLPipeline": ("sdxl", StableDiffusionXLPipeline),
}


class CaptionedFolder:
    """Images with a caption each: `image.txt` beside `image.png`, else the file's name."""

    def __init__(self, folder: Path, size: int) -> None:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS) if folder.is_dir() else []
        if not 1 <= len(files) <= MOST_IMAGES:
            raise InvalidRequest(
                "images", f"{len(files)} images in {folder}", f"a folder of 1 to {MOST_IMAGES} .png, .jpg or .webp files"
            )
        self.files, self.size = files, size

    def caption(self, index: int) -> str:
        """The caption of an image."""
        beside = self.files[index].with_suffix(".txt")
        return beside.read_text(encoding="utf-8").strip() if beside.exists() else self.files[index].stem.replace("_", " ")

    def open(self, index: int) -> Image.Image:
        """The whole image. Raises InvalidRequest."""
        try:
            with Image.open(self.files[index]) as image:
                return image.convert("RGB")
        except OSError as error:
            raise InvalidRequest("images", self.files[index].name, "readable .png, .jpg or .webp files") from error

    def image(self, index: int) -> Tensor:
        """The middle square, float (3, size, size) in [-1, 1]."""
        square, _ = fitted(self.open(index), (self.size, self.size))
        return from_uint8(np.asarray(square)[None])[0]


class FolderSource:
    """A data source over a pipeline's VAE and text encoders; images are encoded as they are sampled."""

    def __init__(
        self,
        pipeline: Any,
        images: CaptionedFolder,
        caption_drop: float,
        seed: int,
        processes: Processes,
        held_out: int = 0,
    ) -> None:
        if held_out >= len(images.files):
            raise InvalidRequest("validation", held_out, f"fewer than the {len(images.files)} images")
        self._trained = len(images.files) - held_out  # the last ones are for validation alone
        self.pipeline, self.images, self.caption_drop, self.seed, self.processes = (
            pipeline,
            images,
            caption_drop,
            seed,
            processes,
        )
        self.large = isinstance(pipeline, StableDiffusionXLPipeline)
        pipeline.vae.to(processes.device).eval().requires_grad_(False)
        pipeline.vae.enable_gradient_checkpointing()  # a decoder's activations are most of what a reward takes
        for encoder in (pipeline.text_encoder, getattr(pipeline, "text_encoder_2", None)):
            if encoder is not None:
                encoder.to(processes.device).eval().requires_grad_(False)

    @torch.no_grad()
    def batch(self, step: int, total: int) -> tuple[Tensor, list[str]]:
        rng = np.random.default_rng((self.seed, step))
        chosen = rng.integers(self._trained, size=total).tolist()
        captions = ["" if rng.random() < self.caption_drop else self.images.caption(index) for index in chosen]
        return self._latents(chosen, torch.Generator().manual_seed(self.seed * 1_000_003 + step % 2**40)), captions

    @torch.no_grad()
    def validation(self, count: int) -> tuple[Tensor, list[str]]:
        """Held-out images."""
        chosen = list(range(self._trained, len(self.images.files)))[:count]
        return self._latents(chosen, torch.Generator().manual_seed(self.seed)), [self.images.caption(index) for index in chosen]

    def first_captions(self, count: int) -> list[str]:
        """Different captions, for previews."""
        return list(dict.fromkeys(self.images.caption(index) for index in range(min(count, len(self.images.files)))))

    def _latents(self, indices: Sequence[int], generator: torch.Generator) -> Tensor:
        pixels = torch.stack([self.images.image(index) for index in indices])
        vae = self.pipeline.vae
        parts = [vae.encode(part.to(self.processes.device, vae.dtype)).latent_dist for part in pixels.split(4)]
        return torch.cat([part.sample(generator).float() for part in parts]) * vae.config.scaling_factor

    @torch.no_grad()
    def condition(
        self, captions: Sequence[str], *, x0: Tensor | None = None, noise: Tensor | None = None, stream: RandomStream | None = None
    ) -> Conditioning:
        """SDXL's size ids say an uncropped image of the sampled size, as its pipeline sets them when the student is used."""
        arguments = {"device": self.processes.device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        if not self.large:
            return Conditioning(self.pipeline.encode_prompt(list(captions), **arguments)[0].float())
        text, _, pooled, _ = self.pipeline.encode_prompt(list(captions), **arguments)
        if self.pipeline.config.force_zeros_for_empty_prompt:
            given = torch.tensor([bool(caption) for caption in captions], device=text.device)
            text, pooled = text * given.view(-1, 1, 1), pooled * given.view(-1, 1)
        size = self.images.size
        sizes = torch.tensor([(size, size, 0, 0, size, size)], dtype=torch.float32, device=text.device)
        return Conditioning(text.float(), pooled.float(), sizes.expand(len(captions), 6))

    def decode(self, latents: Tensor) -> Tensor:
        vae = self.pipeline.vae
        with self.processes.autocast():
            return vae.decode((latents / vae.config.scaling_factor).to(vae.device, vae.dtype), return_dict=False)[0]


def open_pipeline(folder: Path) -> tuple[str, Any]:
    """Family and pipeline of a diffusers folder, safetensors only. Raises ModelUnavailable."""
    try:
        name = str(json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"])
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailable(f"{folder} is no diffusers folder: {error}") from error
    if name not in _PIPELINES:
        raise ModelUnavailable(f"{folder} is a {name}; only {', '.join(_PIPELINES)} can be distilled.")
    family, kind = _PIPELINES[name]
    try:
        pipeline = kind.from_pretrained(folder, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{folder} cannot be read: {error}") from error
    return family, pipeline


def open_teacher(config: StudentConfig, folder: Path, images: Path, workspace: Workspace, processes: Processes) -> TeacherModel:
    """A teacher from a diffusers folder with images to distil it on. Raises ModelUnavailable and InvalidRequest."""
    family, pipeline = open_pipeline(folder)
    side = int(pipeline.unet.config.sample_size) * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    source = open_source(config, family, pipeline, images, side, processes)
    schedule = NoiseSchedule.from_scheduler(pipeline.scheduler)

    @torch.no_grad()
    def preview(unet: Any, path: Path) -> None:
        captions = source.first_captions(8)
        conditioning = source.condition(captions)
        shape = (len(captions), unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(processes.device)
        tiles = []
        for steps in (1, 4):

            def model(x: Tensor, t: Tensor) -> Tensor:
                with processes.autocast():
                    return unet(x, t, conditioning.embeddings, added_cond_kwargs=conditioning.added, return_dict=False)[0]

            times = trailing_timesteps(schedule.num_timesteps, steps)
            made = sample_tcd(model, noise, times, schedule, 0.3, torch.Generator().manual_seed(0))
            tiles += [image for part in made.split(1) for image in to_uint8(source.decode(part))]
        contact_sheet(tiles, path, columns=len(captions), labels=[f"{n}: {text}" for n in (1, 4) for text in captions], side=256)

    def reward(name: str) -> Reward:
        return open_reward(name, workspace)

    return TeacherModel(
        family=family,
        unet=pipeline.unet,
        schedule=schedule,
        source=source,
        reward=reward,
        segmenter=lambda: MaskRCNNSegmenter(workspace.run("reward", "instances")),
        preview=preview,
        held_out=source.validation,
    )


def open_source(
    config: StudentConfig, family: str, pipeline: Any, images: Path, side: int, processes: Processes
) -> FolderSource | CachedSource:
    """A folder of images, or of the shards that `make_shards` left. Raises InvalidRequest."""
    if not is_cache(images):
        return FolderSource(
            pipeline, CaptionedFolder(images, side), config.caption_drop, config.seed + 7, processes, config.validation
        )
    source = CachedSource(
        pipeline, Shards(images), family, caption_drop=config.caption_drop, seed=config.seed + 7, processes=processes,
        held_out=config.validation,
    )  # fmt: skip
    if len(source.sizes) > 1 and config.score.pairs:
        raise InvalidRequest("score.pairs", config.score.pairs, "0 with shards of several sizes: pairs are square")
    return source


def make_shards(teacher: Path, images: Path, folder: Path, buckets: bool, progress: Progress) -> None:
    """Encode images and captions once. Raises ModelUnavailable and InvalidRequest."""
    family, pipeline = open_pipeline(teacher)
    side = int(pipeline.unet.config.sample_size) * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
    source = FolderSource(pipeline, CaptionedFolder(images, side), 0.0, 0, Processes.open("no"))
    write_shards(source, family, folder, buckets, lambda done, total: progress(done, total, {}))


def train(config: StudentConfig, teacher: Path, images: Path, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Distil an SD1.5 or SDXL folder on captioned images; see `train.train`."""
    processes = Processes.open(config.precision)
    model = open_teacher(config, teacher, images, workspace, processes)
    if distil(config, model, processes, folder, progress) and processes.is_main_process:
        offer_feedback(config, folder, workspace)
