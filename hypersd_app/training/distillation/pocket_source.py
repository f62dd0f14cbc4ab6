"""Pocket's images and captions as a source of distillation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hypersd_app.models.autoencoders import rgb_of
from hypersd_app.models.layout import LayoutPrior, code_of, with_code
from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.random_streams import RandomStream
from hypersd_app.training.pocket.teacher import CANDIDATES, with_layouts_of
from hypersd_app.training.workspace import Workspace

MAIN_WEIGHT, FAMILIAR_WEIGHT = 3.0, 3.0  # as the teacher is trained


class PocketSource:
    """The training split of a workspace, or `indices` of it, through the frozen autoencoder and text encoder."""

    def __init__(
        self,
        workspace: Workspace,
        *,
        caption_drop: float,
        seed: int,
        indices: NDArray[np.int64] | None = None,
        precision: Callable[[], AbstractContextManager[None]] = nullcontext,
        device: torch.device | str = "cpu",
    ) -> None:
        self.workspace, self.caption_drop, self.seed, self._precision = workspace, caption_drop, seed, precision
        self.indices = workspace.data.indices(False) if indices is None else indices
        self.weights = workspace.data.weights(self.indices, MAIN_WEIGHT, FAMILIAR_WEIGHT)
        self.decoder = copy.deepcopy(workspace.autoencoder).to(device).eval().requires_grad_(False)

    def batch(self, step: int, total: int) -> tuple[Tensor, list[str]]:
        rng = np.random.default_rng((self.seed, step))
        chosen = rng.choice(self.indices, total, p=self.weights)
        captions = [self.workspace.data.caption(int(index), int(rng.integers(1 << 30))) for index in chosen]
        captions = ["" if rng.random() < self.caption_drop else caption for caption in captions]
        return torch.from_numpy(self.workspace.latents[chosen].astype(np.float32)), captions

    def condition(
        self, captions: Sequence[str], *, x0: Tensor | None = None, noise: Tensor | None = None, stream: RandomStream | None = None
    ) -> Conditioning:
        text, prior = self.workspace.embed(list(captions)), self._prior
        if prior is None:
            return Conditioning(text)
        shown = torch.tensor([caption != "" for caption in captions])
        if noise is not None:
            return Conditioning(with_code(text, code_of(noise.cpu(), prior.size.code), shown))
        if x0 is None or stream is None:
            return Conditioning(with_code(text, None))
        codes = stream.normal(torch.empty(len(text), CANDIDATES, prior.size.code))
        return Conditioning(with_layouts_of(prior, text, x0, shown, codes))

    @cached_property
    def _prior(self) -> LayoutPrior | None:
        """The layout prior, if its layouts have a code."""
        prior = self.workspace.prior()
        return prior if prior.size.code else None

    def decode(self, latents: Tensor) -> Tensor:
        with self._precision():
            return rgb_of(self.decoder, latents)
