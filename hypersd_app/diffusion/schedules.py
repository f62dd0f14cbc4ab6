"""Noise schedules: x_t = alpha_t x0 + sigma_t eps, and the conversions between x0, eps and v."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseSchedule:
    """A variance-preserving discrete schedule. `alphas_cumprod`: float64, (T,); `prediction_type` as in diffusers."""

    alphas_cumprod: Tensor
    prediction_type: str = "v_prediction"

    @staticmethod
    def from_scheduler(scheduler: Any) -> NoiseSchedule:
        """Take a diffusers scheduler's table and prediction type."""
        return NoiseSchedule(scheduler.alphas_cumprod.double(), scheduler.config.prediction_type)

    @property
    def num_timesteps(self) -> int:
        """T; timesteps run from 0 to T - 1, and -1 stands for clean data."""
        return len(self.alphas_cumprod)

    def alpha(self, t: Tensor) -> Tensor:
        """alpha_t, float32, shaped to multiply (B, C, H, W); `t` is int64, (B,), -1 meaning clean data."""
        return self._clean_or(t).sqrt().float().view(-1, 1, 1, 1)

    def sigma(self, t: Tensor) -> Tensor:
        """sigma_t, like `alpha`."""
        return (1 - self._clean_or(t)).sqrt().float().view(-1, 1, 1, 1)

    def _clean_or(self, t: Tensor) -> Tensor:
        table = self.alphas_cumprod.to(t.device)
        return torch.where(t < 0, torch.ones_like(table[0]), table[t.clamp_min(0)])

    def signal_to_noise(self, t: Tensor) -> Tensor:
        """alpha_t^2 / sigma_t^2, float32, (B,)."""
        value = self._clean_or(t)
        return (value / (1 - value)).float()

    def add_noise(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t from clean data and noise."""
        return self.alpha(t) * x0 + self.sigma(t) * eps

    def renoise(self, x_s: Tensor, eps: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """x_t from x_s by the forward process, t >= s: r x_s + sqrt(1 - r^2) eps with r = alpha_t / alpha_s."""
        ratio = self.alpha(t) / self.alpha(s)
        return ratio * x_s + (1 - ratio.square()).clamp_min(0).sqrt() * eps

    def velocity(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """v_t = alpha_t eps - sigma_t x0 (Salimans and Ho, 2022)."""
        return self.alpha(t) * eps - self.sigma(t) * x0

    def split(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """A network's prediction to (x0, eps), in float32: near t = T - 1 half precision would drown the signal."""
        prediction, x_t = prediction.float(), x_t.float()
        alpha, sigma = self.alpha(t), self.sigma(t)
        if self.prediction_type == "v_prediction":
            return alpha * x_t - sigma * prediction, sigma * x_t + alpha * prediction
        if self.prediction_type == "epsilon":
            return (x_t - sigma * prediction) / alpha.clamp_min(1e-8), prediction
        if self.prediction_type == "sample":
            return prediction, (x_t - alpha * prediction) / sigma.clamp_min(1e-8)
        raise ValueError(f"unknown prediction type {self.prediction_type!r}")

    def prediction(self, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What a perfect network predicts at x_t, in this schedule's prediction type: the target of training."""
        if self.prediction_type == "v_prediction":
            return self.velocity(x0, eps, t)
        return eps if self.prediction_type == "epsilon" else x0

    def jump(self, prediction: Tensor, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The DDIM step from t to s: x_s = alpha_s x0 + sigma_s eps (Song et al., 2021, eq. 12 without noise)."""
        x0, eps = self.split(prediction, x_t, t)
        return self.alpha(s) * x0 + self.sigma(s) * eps


def trailing_timesteps(num_timesteps: int, num_steps: int) -> Tensor:
    """T - 1 and so on down in equal strides, as diffusers' `timestep_spacing="trailing"`; int64, (num_steps,)."""
    stride = num_timesteps / num_steps
    return (num_timesteps - torch.arange(num_steps) * stride).round().long() - 1
