"""What a style LoRA is taught at each step: to hear the style's words where nobody said them, or to draw as images do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.layout import LATENT_SHAPE, LayoutPrior, coded
from hypersd_app.models.pocket import PocketUNet, new_scheduler
from hypersd_app.training.core.device import to_device
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.data.text_encoder import TextEmbedder
from hypersd_app.training.pocket.layout_prior import fills_the_image, remembered
from hypersd_app.training.pocket.teacher import CANDIDATES, diffusion_loss, draw_timesteps, with_nearest_layouts
from hypersd_app.training.workspace import Workspace

Lesson = Callable[[PocketUNet, int], tuple[Tensor, int]]  # (the UNet with its LoRA, step) to the loss and how many were seen
PHRASES = 6000  # captions that a style's words are tried on
STYLED_SHARE = 0.25  # of a folder's captions name the style; the others teach it to come without being named


@dataclass(frozen=True)
class StyleImages:
    """What a style is learnt from: latents float32 (N, 16, 16, 16) and a caption without style words for each."""

    latents: Tensor
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """The layout of a caption with the style's words is what the caption alone should give: the prior teaches itself.

    `strength`: how much of the way. The last part of it costs more of what things are than it gives to how they are drawn.
    """

    plain: Tensor  # float16 (N, L, 384)
    _: KW_ONLY
    styled: Tensor
    prior: LayoutPrior
    strength: float
    batch: int
    seed: int

    @staticmethod
    def of(workspace: Workspace, words: str, strength: float, batch: int, seed: int, progress: Progress) -> Words:
        """For a style that the prior knows by `words`. What is embedded is kept beside all styles' runs."""
        data = workspace.data
        chosen = [
            int(i) for i in data.indices(False) if fills_the_image(data.scenes[i]) or data.scenes[i].kind in ("pair", "count")
        ]
        random.Random(seed).shuffle(chosen)
        captions = [data.caption(index, seed, style=False) for index in chosen[:PHRASES]]
        kept = workspace.run("style", "embeddings")
        plain = remembered(captions, workspace.embed, kept, progress)
        styled = remembered([f"{caption}, {words}" for caption in captions], workspace.embed, kept, progress)
        return Words(plain, styled=styled, prior=workspace.prior(), strength=strength, batch=batch, seed=seed)

    def __call__(self, unet: PocketUNet, step: int) -> tuple[Tensor, int]:
        rows = torch.randint(len(self.plain), (self.batch,), generator=torch.Generator().manual_seed(self.seed * 1_000_003 + step))
        plain, styled = to_device(self.plain[rows].float(), self.styled[rows].float())
        noise = torch.randn(self.batch, *LATENT_SHAPE, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + step))
        plain, styled = (coded(text, self.prior.size, *to_device(noise)) for text in (plain, styled))
        wanted = torch.lerp(self.prior(plain), self.prior(styled), self.strength)
        return (unet.layout(plain) - wanted).square().mean(), self.batch


@dataclass(frozen=True, kw_only=True)
class Layouts:
    """The layouts of a style's own images, from captions that do not name it; `strength` as in `Words`."""

    embeddings: Tensor  # float16 (N, L, 384)
    latents: Tensor  # float32 (N, 16, 16, 16)
    prior: LayoutPrior
    strength: float
    batch: int
    seed: int

    @staticmethod
    def of(
        workspace: Workspace, shown: StyleImages, strength: float, kept: Path, batch: int, seed: int, progress: Progress
    ) -> Layouts:
        """For an icon set that the prior has never seen."""
        embeddings = remembered(list(shown.captions), workspace.embed, kept, progress)
        return Layouts(
            embeddings=embeddings, latents=shown.latents, prior=workspace.prior(), strength=strength, batch=batch, seed=seed
        )

    def __call__(self, unet: PocketUNet, step: int) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        rows = torch.randint(len(self.latents), (self.batch,), generator=generator)
        text, latents = self.embeddings[rows].float(), self.latents[rows]
        shown = torch.ones(self.batch, dtype=torch.bool)
        text, latents = to_device(with_nearest_layouts(self.prior, text, latents, shown, CANDIDATES, generator), latents)
        wanted = torch.lerp(self.prior(text), latents, self.strength)
        return (unet.layout(text) - wanted).square().mean(), self.batch


@dataclass(frozen=True, kw_only=True)
class Images:
    """A folder's images, layout and strokes both: so few that the UNet has to learn the hand itself."""

    captions: tuple[str, ...]
    latents: Tensor
    words: str
    caption_drop: float
    embed: TextEmbedder
    schedule: NoiseSchedule
    batch: int
    seed: int

    @staticmethod
    def of(
        captions: tuple[str, ...], latents: Tensor, words: str, caption_drop: float, embed: TextEmbedder, batch: int, seed: int
    ) -> Images:
        """With the training schedule."""
        return Images(
            captions=captions,
            latents=latents,
            words=words,
            caption_drop=caption_drop,
            embed=embed,
            schedule=NoiseSchedule.from_scheduler(new_scheduler()),
            batch=batch,
            seed=seed,
        )

    def __call__(self, unet: PocketUNet, step: int) -> tuple[Tensor, int]:
        rng = np.random.default_rng((self.seed, step, 4))
        rows = rng.integers(len(self.captions), size=self.batch)
        said = [self._said(self.captions[row], rng) for row in rows]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        x0, shown = self.latents[rows], torch.tensor([text != "" for text in said])
        text = with_nearest_layouts(unet.layout, self.embed(said), x0, shown, CANDIDATES, generator)
        t = draw_timesteps(self.batch, self.schedule.num_timesteps, 1.5, generator)
        drawn = diffusion_loss(unet, x0, text, t, self.schedule, generator).mean()
        text, x0 = to_device(text, x0)
        return drawn + (unet.layout(text) - x0).square().mean(), self.batch

    def _said(self, caption: str, rng: np.random.Generator) -> str:
        if rng.random() < self.caption_drop:
            return ""
        return f"{caption}, {self.words}" if self.words and rng.random() < STYLED_SHARE else caption
