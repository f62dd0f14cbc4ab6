"""One batch of plans on open parts: text, noise, steps, pixels. Runs under the device lock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from cachetools import LRUCache
from PIL import Image
from torch import Tensor

from hypersd_app.diffusion.noise import seeded_noise
from hypersd_app.engine.compilation import COMPILED, PLAIN
from hypersd_app.engine.device_time import Clock
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Decoder, Encoder
from hypersd_app.engine.plan import Choice, Plan
from hypersd_app.engine.sampling.denoise import ControlBatch, Rows, StepWords, sample
from hypersd_app.engine.sampling.painting import Painting, painting_batch
from hypersd_app.engine.sampling.schedules import Schedulers
from hypersd_app.engine.sampling.text import PromptCache, TextPart, size_ids
from hypersd_app.errors import HyperSDError
from hypersd_app.images.painting import composite
from hypersd_app.images.scribble import Pixels
from hypersd_app.models.layout import code_of, with_code
from hypersd_app.prompts.schedules import ends, text_at

if TYPE_CHECKING:
    from hypersd_app.engine.backends.base import StyledDenoiser, UNetStyles
    from hypersd_app.engine.loading.lora import Factors, StyleKey

OnStep = Callable[..., None]  # (step, steps), and now and then (step, steps, image)
PREVIEW_EVERY = 1.0  # seconds; short runs are over before they have one
KEPT_PROMPTS = 64  # of one pipeline, ready for its UNet


@dataclass(frozen=True, kw_only=True, eq=False)
class DenoisingPipeline:
    """The parts of one choice, ready to run: text encoder, UNet, decoder, maybe a ControlNet. Use under the device lock."""

    synchronize: Callable[[], None]  # wait until the device has done its work
    placed: str  # what runs it and where its weights are, for people
    prompts: PromptCache
    text: TextPart
    text_key: object
    denoiser: StyledDenoiser
    decoder: Decoder
    control: ControlNetwork | None
    encoder: Encoder | None  # where an init image takes part
    schedulers: Schedulers
    styles: Sequence[tuple[StyleKey, float, Factors]]
    unet_styles: UNetStyles  # the same object for every stroke, by which the denoiser knows them again
    device: torch.device
    _known: LRUCache[tuple[object, ...], Conditioning] = field(default_factory=lambda: LRUCache(KEPT_PROMPTS))

    @property
    def label(self) -> str:
        """What runs it, where its weights are, and whether what has run so far was compiled."""
        return self.placed + compiled_words(self.denoiser, self.control, self.decoder) + getattr(self.decoder, "widened", "")

    @torch.inference_mode()
    def render(self, plans: Sequence[Plan], clock: Clock, on_step: OnStep | None) -> list[list[Pixels]]:
        """The images of each plan, uint8 (H, W, 3), in order; all plans share one choice, but for blank sketches."""
        choice = plans[0].choice
        if choice.strength == 0:
            return [[plan.canvas.image] * plan.request.num_images for plan in plans if plan.canvas is not None]
        self.denoiser.set_styles(self.unet_styles)
        with clock("text"):
            words = self._words(plans, choice)
        factor = self.decoder.factor
        latents = sample(
            self.denoiser,
            self.schedulers.schedule(choice.num_inference_steps, choice.eta, choice.strength),
            [torch.Generator().manual_seed(seed) for plan in plans for seed in plan.request.seeds],
            (self.denoiser.in_channels, choice.height // factor, choice.width // factor),
            words,
            device=self.device,
            guidance_scale=choice.guidance_scale if choice.guided else None,
            control=control_batch(self.control, plans, self.device),
            painting=None if self.encoder is None else self._painting(self.encoder, plans, clock),
            clock=clock,
            on_step=None if on_step is None else with_previews(self.decoder, on_step, clock),
        )
        with clock("decode"):
            images = iter(decode(self.decoder, latents))
        made = [list(islice(images, plan.request.num_images)) for plan in plans]
        if choice.strength is None:
            return made
        return [[composite(image, plan.canvas) for image in row] for plan, row in zip(plans, made, strict=True)]

    def _painting(self, encoder: Encoder, plans: Sequence[Plan], clock: Clock) -> Painting:
        with clock("encode"):
            return painting_batch(encoder, plans, self.decoder.factor, self.device)

    def resume(self) -> None:
        """Go on after others have drawn with the same UNet: its styles are what they share."""
        self.denoiser.set_styles(self.unet_styles)

    def _words(self, plans: Sequence[Plan], choice: Choice) -> StepWords | Callable[[int], StepWords]:
        """Text of every image of the batch, the unguided half first where guidance needs one; for each step, where it changes."""
        asked = [(plan, negative) for negative in ((True, False) if choice.guided else (False,)) for plan in plans]
        texts = [plan.request.negative_prompt.strip() if negative else plan.words for plan, negative in asked]
        if not any("[" in text for text in texts):
            return self._together(asked, texts)
        schedules = [plan.schedule(text) for (plan, _), text in zip(asked, texts, strict=True)]
        steps = {end: self._together(asked, [text_at(row, end) for row in schedules]) for end in ends(schedules)}
        return lambda step: steps[min((end for end in steps if step <= end), default=max(steps))]

    def _together(self, asked: Sequence[tuple[Plan, bool]], texts: Sequence[str]) -> StepWords:
        """One conditioning for all images, or, if prompts are of unlike lengths, one for each length."""
        found = (self._rows(plan, text, negative=negative) for (plan, negative), text in zip(asked, texts, strict=True))
        rows = [row for several in found for row in several]
        if len(rows) == 1:
            return rows[0]
        lengths = {row.hidden.shape[1] for row in rows}
        if len(lengths) == 1:
            return Conditioning.stack(rows)
        groups = [[index for index, row in enumerate(rows) if row.hidden.shape[1] == length] for length in sorted(lengths)]
        return [
            Rows(torch.tensor(group, device=self.device), Conditioning.stack([rows[index] for index in group])) for group in groups
        ]

    def _rows(self, plan: Plan, text: str, *, negative: bool) -> list[Conditioning]:
        """The conditioning of each image of a plan."""
        if not self.denoiser.layout_code:
            return [self._row(plan, text, negative=negative)] * plan.request.num_images
        return [self._row(plan, text, negative=negative, seed=seed) for seed in plan.request.seeds]

    def _row(self, plan: Plan, text: str, *, negative: bool, seed: int | None = None) -> Conditioning:
        """`seed`: of the image whose layout the words carry a code of."""
        key = (text, negative, plan.grammar, plan.request.clip_skip, plan.choice.width, plan.choice.height, seed)
        found = self._known.get(key)
        if found is not None:
            self.prompts.hits += 1
            return found
        words = self.text.embed(self.text_key, self.prompts, plan.wording(text, negative=negative), negative, self.styles)
        found = self.denoiser.prepared(words if seed is None else self._coded(words, plan.choice, None if negative else seed))
        if found.pooled is not None:
            found = Conditioning(found.hidden, found.pooled, size_ids(plan.choice.width, plan.choice.height, found.pooled))
        self._known[key] = found
        return found

    def _coded(self, words: Conditioning, choice: Choice, seed: int | None) -> Conditioning:
        """Words with the code of the noise that `seed` begins at; None: without a layout."""
        if seed is None:
            return replace(words, hidden=with_code(words.hidden, None))
        shape = (self.denoiser.in_channels, choice.height // self.decoder.factor, choice.width // self.decoder.factor)
        return replace(words, hidden=with_code(words.hidden, code_of(seeded_noise([seed], shape), self.denoiser.layout_code)))


def compiled_words(*networks: object) -> str:
    """For a label: ", compiled" if all that ran are, and which are not otherwise; empty where nothing is compiled."""
    states = {getattr(network, "state", "") for network in networks} - {""}
    if not states:
        return ""
    return f", {COMPILED}" if states == {COMPILED} else f", {PLAIN}" if states == {PLAIN} else ", partly compiled"


def control_batch(network: ControlNetwork | None, plans: Sequence[Plan], device: torch.device) -> ControlBatch | None:
    """Every image's control; a plan without one takes part with scale 0, which is the same as none."""
    if network is None:
        return None
    images, scales = [], []
    for plan in plans:
        there = plan.pixels is not None and plan.request.control is not None
        pixels = plan.pixels if plan.pixels is not None else np.zeros((plan.choice.height, plan.choice.width, 3), np.uint8)
        scale = plan.request.control.scale if there and plan.request.control is not None else 0.0
        images += [pixels] * plan.request.num_images
        scales += [scale] * plan.request.num_images
    values = torch.from_numpy(np.stack(images)).to(device)
    return ControlBatch(network, values, torch.tensor(scales, device=device).view(-1, 1, 1, 1))


def decode(decoder: Decoder, latents: Tensor) -> list[Pixels]:
    """Latents to images, uint8 (H, W, 3), one at a time: decoding is where memory peaks. Raises HyperSDError."""
    if not math.isfinite(float(latents.abs().sum())):
        raise HyperSDError("The image came out as not-a-number: the weights do not suit this precision, or a style is too strong.")
    # Copied, for the next call may overwrite what this one gave.
    return [decoder(row)[0].cpu().numpy().copy() for row in latents.split(1)]


def with_previews(decoder: Decoder, on_step: OnStep, clock: Clock) -> Callable[[int, int, Tensor], None]:
    """A sampling callback that adds a decoded image of the first latents to `on_step`, once in a while."""
    shown = time.perf_counter()

    def report(step: int, steps: int, latents: Tensor) -> None:
        nonlocal shown
        if step == steps or time.perf_counter() - shown < PREVIEW_EVERY:
            on_step(step, steps)
            return
        with clock("preview"):
            image = Image.fromarray(decode(decoder, latents[:1])[0])
        shown = time.perf_counter()
        on_step(step, steps, image)

    return report
