"""Score distillation under drawings: one step's images become likelier to the teacher that sees the same drawing.

A regression's image is the mean of all that fit, mottled where sets draw a thing in several colours. The divergence that
distribution matching lowers is the one that chooses among them (Yin et al., "One-step Diffusion with Distribution Matching
Distillation", 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hypersd_app.diffusion.schedules import NoiseSchedule
from hypersd_app.models.pocket import PocketUNet
from hypersd_app.training.core.auxiliary import AuxiliaryNetwork
from hypersd_app.training.core.device import mixed_precision
from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.lora import add_lora
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.distillation.losses.dmd_math import Predict, denoising_loss, matching_gradient, matching_loss
from hypersd_app.training.distillation.networks import FAKE

TextModel = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t, t, embeddings) -> prediction
Follow = Callable[[Tensor], TextModel]  # of control images (B, 3, 256, 256)


@dataclass(frozen=True, kw_only=True)
class SketchScoreConfig:
    """`rows`: how many images of a batch are compared. `words` and `strokes` are the real score's guidance, 1 being none.

    Measured over some hundred steps: with 3 and 1 images fit their words better, and outlines and inks worse; with 3 and 3
    the other way round.
    """

    weight: float = 0.0  # 0 leaves it out
    rows: int = 8
    words: float = 3.0
    strokes: float = 4.0
    fake_rank: int = 32
    fake_lr: float = 5e-4
    lowest: float = 0.02
    highest: float = 0.65  # of T: above it guidance paints ends of things black, and the words' usual shape beside the drawn one


class SketchScore:
    """The real and the fake score: the teacher's UNet without and with a LoRA, both following drawings by one ControlNet."""

    def __init__(
        self, config: SketchScoreConfig, unet: PocketUNet, follow: Follow, nothing: Tensor, schedule: NoiseSchedule
    ) -> None:
        add_lora(unet, config.fake_rank, FAKE)
        self.config, self.unet, self.follow, self.nothing, self.schedule = config, unet, follow, nothing, schedule
        trained = {name: parameter for name, parameter in unet.named_parameters() if parameter.requires_grad}
        self.auxiliary = AuxiliaryNetwork(trained, config.fake_lr, Processes.open())

    def __call__(self, x0: Tensor, control: Tensor, text: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        """The loss of latents (B, 16, 16, 16) that one step made, float32 (B,), and the fake score's, which learns first."""
        followed, made, stream = self.follow(control), x0.detach().float(), RandomStream(generator, len(x0))

        def fake(x: Tensor, t: Tensor) -> Tensor:
            return followed(x, t, text)

        with mixed_precision():
            learnt = denoising_loss(fake, made, stream.normal(made), self._times(stream), self.schedule).mean()
        self.auxiliary.update(learnt)
        real, eps, t = self._real(control, text), stream.normal(made), self._times(stream)
        with mixed_precision():
            gradient = matching_gradient(real, fake, made, eps, t, self.schedule)
        return matching_loss(x0, gradient), float(learnt.detach())

    def _real(self, control: Tensor, text: Tensor) -> Predict:
        """Guided by words and by strokes, each with a strength of its own (Brooks et al., "InstructPix2Pix", 2023)."""
        nothing, blank = self.nothing.expand_as(text), torch.zeros_like(control)
        texts, controls = torch.cat([nothing, nothing, text]), torch.cat([blank, control, control])
        words, strokes = self.config.words, self.config.strokes

        def run(x: Tensor, t: Tensor) -> Tensor:
            self.unet.disable_adapters()
            try:
                unconditional, sketch_only, both = self.follow(controls)(x.repeat(3, 1, 1, 1), t.repeat(3), texts).float().chunk(3)
            finally:
                self.unet.enable_adapters()
            return unconditional + strokes * (sketch_only - unconditional) + words * (both - sketch_only)

        return run

    def _times(self, stream: RandomStream) -> Tensor:
        lowest, highest = self.config.lowest, self.config.highest
        t = ((lowest + (highest - lowest) * stream.stratified()) * self.schedule.num_timesteps).long()
        return t.to(self.nothing.device)
