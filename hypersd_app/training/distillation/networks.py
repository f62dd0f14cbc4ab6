"""The roles of a distillation: student, its target, teacher and fake score, as adapters on one UNet or as whole networks."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hypersd_app.training.core.conditioning import Conditioning
from hypersd_app.training.core.lora import ATTENTION_TARGETS, CONVOLUTION_TARGETS, END_TARGETS, add_lora
from hypersd_app.training.core.optim import ExponentialAverage
from hypersd_app.training.distillation.denoiser import UNetDenoiser, train_weights_only

ACCELERATOR = "accelerator"
FAKE = "fake"
Precision = Callable[[], AbstractContextManager[None]]


class Networks(ABC):
    """Every role is a function (x_t, t, conditioning) -> prediction. Outside of a role's own block the student acts.

    `module` holds what the student trains, as the parameters that require gradients. `precision` opens autocast around
    each call alone: autocast remembers cast weights until it ends, and would give the average those of the student.
    """

    module: nn.Module

    def __init__(self, target_decay: float, precision: Precision = nullcontext) -> None:
        self._target = ExponentialAverage(self.module, target_decay) if target_decay else None
        self._precision = precision

    @property
    @abstractmethod
    def unet(self) -> Any:
        """The student's UNet, for samplers and for files."""

    @property
    def target_average(self) -> ExponentialAverage | None:
        """The EMA that is the student's target; None where the target is the live student without gradient."""
        return self._target

    @abstractmethod
    def student(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The network that learns."""

    @torch.no_grad()
    def target(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """What the student has to agree with further down the trajectory: its own average, or itself."""
        if self._target is None:
            return self.student(x, t, conditioning)
        with self._target.acting():
            return self.student(x, t, conditioning)

    @abstractmethod
    def teacher(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The frozen diffusion model, without gradient."""

    @abstractmethod
    def features(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> list[Tensor]:
        """What the frozen teacher's encoder sees in noisy latents; gradients reach `x` only."""

    @property
    @abstractmethod
    def feature_channels(self) -> list[int]:
        """Channels of `features`."""

    @abstractmethod
    def fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The score of the student's own images, without gradient; only after `begin_fake`."""

    @abstractmethod
    def begin_fake(self, rank: int) -> None:
        """Start the fake score as a copy of the teacher: an adapter of this rank where networks are adapters."""

    @abstractmethod
    def fake_parameters(self) -> dict[str, nn.Parameter]:
        """What the fake score trains."""

    @abstractmethod
    def training_fake(self) -> Any:
        """A block in which `live_fake` may be run forward and backward."""

    @abstractmethod
    def live_fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The fake score with gradients to its own weights; inside of `training_fake` only."""


class AdapterNetworks(Networks):
    """One frozen UNet; student and fake score are LoRA adapters on it, the teacher is it without any."""

    def __init__(
        self,
        unet: Any,
        rank: int,
        target_decay: float = 0.0,
        precision: Precision = nullcontext,
        gradient_checkpointing: bool = False,
    ) -> None:
        add_lora(unet, rank, ACCELERATOR, (*ATTENTION_TARGETS, *CONVOLUTION_TARGETS, *END_TARGETS))
        self._denoiser, self._checkpointing = UNetDenoiser(unet), gradient_checkpointing
        self.module = unet
        self._layers = [layer for layer in unet.modules() if isinstance(layer, BaseTunerLayer)]
        if gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        super().__init__(target_decay, precision)

    @property
    def unet(self) -> Any:
        return self.module

    @contextmanager
    def _acting(self, adapter: str) -> Iterator[None]:
        """Another adapter in the student's place, or none for ""; inside, only that adapter's weights want gradients.

        With gradient checkpointing run a graph backward inside: recomputed outside, it would find the student's adapter.
        """
        for layer in self._layers:
            if adapter:
                layer.set_adapter(adapter)
            else:
                layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self._layers:
                layer.enable_adapters(True)
                layer.set_adapter(ACCELERATOR)

    def student(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self._denoiser(x, t, conditioning)

    @torch.no_grad()
    def teacher(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._acting(""), self._precision():
            return self._denoiser(x, t, conditioning)

    def features(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> list[Tensor]:
        if self._checkpointing and torch.is_grad_enabled() and x.requires_grad:
            # As one piece, which puts the teacher in place again where it is recomputed.
            return list(checkpoint(self._features, x, t, conditioning, use_reentrant=False))
        return list(self._features(x, t, conditioning))

    def _features(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> tuple[Tensor, ...]:
        if self._checkpointing:  # its blocks would be recomputed after the student is in place again
            self.unet.disable_gradient_checkpointing()
        try:
            with self._acting(""), self._precision():
                return tuple(self._denoiser.features(x, t, conditioning))
        finally:
            if self._checkpointing:
                self.unet.enable_gradient_checkpointing()

    @property
    def feature_channels(self) -> list[int]:
        return self._denoiser.feature_channels

    def begin_fake(self, rank: int) -> None:
        config: LoraConfig = self.unet.peft_config[ACCELERATOR]
        self.unet.add_adapter(
            LoraConfig(r=rank, lora_alpha=rank, target_modules=config.target_modules, init_lora_weights="gaussian"),
            adapter_name=FAKE,
        )
        with self._acting(FAKE):
            pass  # leaves the student acting, and its weights the only ones that want gradients

    @torch.no_grad()
    def fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._acting(FAKE), self._precision():
            return self._denoiser(x, t, conditioning)

    def fake_parameters(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.unet.named_parameters() if f".{FAKE}." in name}

    def training_fake(self) -> Any:
        return self._acting(FAKE)

    def live_fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self._denoiser(x, t, conditioning)


class WholeNetworks(Networks):
    """A network for each role. `teacher` is any module (x_t, t, conditioning) -> prediction; `student` starts as its copy.

    `untrained_fake` is what the fake score starts from, by default a copy of the teacher too.
    """

    def __init__(
        self,
        teacher: nn.Module,
        *,
        student: nn.Module | None = None,
        untrained_fake: nn.Module | None = None,
        target_decay: float = 0.0,
        precision: Precision = nullcontext,
        gradient_checkpointing: bool = False,
    ) -> None:
        self._teacher = teacher.requires_grad_(False)
        self.module = student if student is not None else copy.deepcopy(teacher)
        if student is None:
            train_weights_only(self.module)
        if gradient_checkpointing:
            self.module.unet.enable_gradient_checkpointing()  # type: ignore[union-attr,operator]
        self._untrained_fake, self._fake = untrained_fake, nn.Module()
        super().__init__(target_decay, precision)

    @property
    def unet(self) -> Any:
        return self.module.unet

    @property
    def teacher_unet(self) -> Any:
        """The teacher's UNet: what the student's change is counted from."""
        return self._teacher.unet

    def student(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self.module(x, t, conditioning)

    @torch.no_grad()
    def teacher(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self._teacher(x, t, conditioning)

    def features(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> list[Tensor]:
        with self._precision():
            return self._teacher.features(x, t, conditioning)  # type: ignore[operator]

    @property
    def feature_channels(self) -> list[int]:
        return self._teacher.feature_channels  # type: ignore[return-value]

    def begin_fake(self, rank: int) -> None:
        self._fake = self._untrained_fake if self._untrained_fake is not None else copy.deepcopy(self._teacher)
        self._fake.requires_grad_(True)

    @torch.no_grad()
    def fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self._fake(x, t, conditioning)

    def fake_parameters(self) -> dict[str, nn.Parameter]:
        return dict(self._fake.named_parameters())

    @contextmanager
    def training_fake(self) -> Iterator[None]:
        yield

    def live_fake(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        with self._precision():
            return self._fake(x, t, conditioning)
