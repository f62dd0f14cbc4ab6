"""UNets, ControlNets and decoders as plain functions of tensors, the form in which OpenVINO can convert them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hypersd_app.engine.backends.torch_networks import encoded, encoder_input, input_channels, pixels
from hypersd_app.engine.loading.lora import Change, LowRank
from hypersd_app.engine.sampling.layout_cache import reads_layout
from hypersd_app.models.control_image import control_tensor

RANK_STEP = 16  # slots are at least so wide, and grow by doubling: a second style rarely needs another compilation


class Precomputed(nn.Module):
    """In the place of a sinusoidal projection: gives what was computed outside, in float32.

    Inside a bfloat16 graph timestep 999 would round to 1000 before its sine is taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor | None = None

    def forward(self, timesteps: Tensor) -> Tensor:
        assert self.value is not None
        return self.value


class LoRASlot(nn.Module):
    """A layer with room for changes that are inputs of the graph: other styles, same compiled network.

    Low-rank changes come as factors; others as whole differences of the weight or the bias.
    """

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.down: Tensor | None = None
        self.up: Tensor | None = None
        self.difference: Tensor | None = None
        self.bias_difference: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The layer's own weight: some diffusers code looks at its type."""
        return self.base.weight  # type: ignore[return-value]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(self.base, nn.GroupNorm | nn.LayerNorm):
            return self._normed(x)
        y = self.base(x)
        if self.down is not None and self.up is not None:
            y = y + self._low_rank(x, self.down, self.up)
        if self.difference is not None:
            y = y + self._applied(x, self.difference)
        if self.bias_difference is not None:
            y = y + self.bias_difference.view(-1, *[1] * (2 if isinstance(self.base, nn.Conv2d) else 0))
        return y

    def _low_rank(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        if isinstance(self.base, nn.Conv2d):
            return nn.functional.conv2d(self._applied(x, down), up[:, :, None, None])
        return (x @ down.T) @ up.T

    def _applied(self, x: Tensor, weight: Tensor) -> Tensor:
        """What the layer would compute with another weight, without its bias."""
        if isinstance(self.base, nn.Conv2d):
            return nn.functional.conv2d(x, weight, stride=self.base.stride, padding=self.base.padding)
        return x @ weight.T

    def _normed(self, x: Tensor) -> Tensor:
        weight: Any = self.base.weight
        bias: Any = self.base.bias
        weight = weight if self.difference is None else weight + self.difference
        bias = bias if self.bias_difference is None else bias + self.bias_difference
        if isinstance(self.base, nn.GroupNorm):
            return nn.functional.group_norm(x, self.base.num_groups, weight, bias, self.base.eps)
        assert isinstance(self.base, nn.LayerNorm)
        return nn.functional.layer_norm(x, self.base.normalized_shape, weight, bias, self.base.eps)


BIAS = ".bias"


@dataclass(frozen=True)
class SlotPlan:
    """Which layers have slots for factors, how wide these are, and which parameters have slots for whole differences."""

    modules: tuple[str, ...] = ()
    rank: int = 0
    whole: tuple[str, ...] = ()  # layers, or "<layer>.bias"

    def grown(self, changes: Sequence[Mapping[str, Change]]) -> SlotPlan:
        """A plan that also holds `changes` together; the same plan if they fit already."""
        factors = [{name: change for name, change in some.items() if is_low_rank(name, change)} for some in changes]
        modules = sorted({*self.modules, *(name for some in factors for name in some)})
        needed = max((sum(some[name].rank for some in factors if name in some) for name in modules), default=0)  # type: ignore[attr-defined]
        rank = max(self.rank, RANK_STEP if modules else 0)
        while rank < needed:
            rank *= 2
        whole = sorted({*self.whole, *(name for some in changes for name in some if not is_low_rank(name, some[name]))})
        return SlotPlan(tuple(modules), rank, tuple(whole))

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers with slots of either kind."""
        return tuple(sorted({*self.modules, *(name.removesuffix(BIAS) for name in self.whole)}))


def is_low_rank(name: str, change: Change) -> bool:
    """Whether a change can be fed in as factors."""
    return isinstance(change, LowRank) and not name.endswith(BIAS)


class Graph(nn.Module):
    """What all graphs share: the projections taken out, slots put in, arguments in a fixed order."""

    def __init__(self, module: Any, slots: SlotPlan = SlotPlan()) -> None:
        super().__init__()
        self.network = module
        self.time = module.time_proj = Precomputed()
        self.large = getattr(module, "add_time_proj", None) is not None
        if self.large:
            self.sizes = module.add_time_proj = Precomputed()
        self.plan = slots
        self.slots = {name: self._slot(name) for name in slots.layers}

    def _slot(self, name: str) -> LoRASlot:
        base = self.network.get_submodule(name)
        parent_name, _, own = name.rpartition(".")
        slot = LoRASlot(base)
        setattr(self.network.get_submodule(parent_name), own, slot)
        return slot

    def fill(self, given: Sequence[Tensor]) -> None:
        """Hand the slots their changes: two factors for each layer of the plan, then the whole differences."""
        for i, name in enumerate(self.plan.modules):
            self.slots[name].down, self.slots[name].up = given[2 * i], given[2 * i + 1]
        for name, difference in zip(self.plan.whole, given[2 * len(self.plan.modules) :], strict=True):
            slot = self.slots[name.removesuffix(BIAS)]
            setattr(slot, "bias_difference" if name.endswith(BIAS) else "difference", difference)

    def take_conditions(self, latents: Tensor, time: Tensor, extra: list[Tensor]) -> dict[str, Tensor] | None:
        """Hand the projections over; Pocket's layout, or SDXL's pooled text and sizes, come first in `extra`."""
        self.time.value = time.expand(latents.shape[0], -1)
        if reads_layout(self.network):
            return {"layout": extra.pop(0)}
        if not self.large:
            return None
        pooled, self.sizes.value = extra.pop(0), extra.pop(0)
        return {"text_embeds": pooled, "time_ids": pooled}  # the sizes' projection ignores its input


def residual_shapes(config: Any, leading: Sequence[int], height: int, width: int) -> list[tuple[int, int, int]]:
    """(C, h, w) of everything that a ControlNet adds to a UNet for latents (height, width), the middle last.

    `leading`: channels of what a UNet takes beyond diffusers' residuals, before them.
    """
    widths, layers = list(config.block_out_channels), config.layers_per_block
    shapes = [(channels, height, width) for channels in (*leading, widths[0])]
    for level, channels in enumerate(widths):
        shapes += [(channels, height, width)] * (layers if isinstance(layers, int) else layers[level])
        if level < len(widths) - 1:
            height, width = (height + 1) // 2, (width + 1) // 2
            shapes.append((channels, height, width))
    return [*shapes, (widths[-1], height, width)]


def leading_residuals(module: nn.Module) -> tuple[int, ...]:
    """What a UNet of our own takes from its ControlNet before the residuals that diffusers knows."""
    return getattr(module, "leading_residuals", ())


class UNetGraph(Graph):
    """(latents, time, hidden, [layout] or [pooled, sizes], residuals..., [down, up, ...], differences...) to the prediction.

    There are always residuals, zeros where there is no ControlNet: a second graph without them would hold all weights again.
    """

    def __init__(self, module: Any, slots: SlotPlan = SlotPlan()) -> None:
        super().__init__(module, slots)
        self.residuals = len(residual_shapes(module.config, leading_residuals(module), 1, 1))

    def forward(self, latents: Tensor, time: Tensor, hidden: Tensor, extra: list[Tensor]) -> Tensor:
        rest = list(extra)
        added = self.take_conditions(latents, time, rest)
        added_residuals = rest[: self.residuals]
        self.fill(rest[self.residuals :])
        return self.network(
            latents,
            torch.zeros(1),
            encoder_hidden_states=hidden,
            added_cond_kwargs=added,
            down_block_additional_residuals=tuple(added_residuals[:-1]),
            mid_block_additional_residual=added_residuals[-1],
            return_dict=False,
        )[0]


class ControlGraph(Graph):
    """(latents, time, hidden, [layout] or [pooled, sizes], control as uint8 (B, H, W, 3), scales) to the residuals, middle last."""

    def forward(self, latents: Tensor, time: Tensor, hidden: Tensor, extra: list[Tensor]) -> tuple[Tensor, ...]:
        rest = list(extra)
        added = self.take_conditions(latents, time, rest)
        control, scales = rest
        down, middle = self.network(
            latents,
            torch.zeros(1),
            encoder_hidden_states=hidden,
            controlnet_cond=control_tensor(control),
            conditioning_scale=scales,
            added_cond_kwargs=added,
            return_dict=False,
        )
        return (*down, middle)


class DecoderGraph(nn.Module):
    """Latents as the sampler leaves them to images, uint8 (B, H, W, 3)."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.scale = float(vae.config.scaling_factor)

    def forward(self, latents: Tensor) -> Tensor:
        return pixels(self.vae.decode(latents / self.scale, return_dict=False)[0])


class EncoderGraph(nn.Module):
    """Images, uint8 (B, H, W, 3), to scaled latents."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        self.channels = input_channels(vae)

    def forward(self, images: Tensor) -> Tensor:
        return encoded(self.vae, encoder_input(images, self.channels))


class PositionalWrapper(nn.Module):
    """Conversion wants positional tensors only: the first three by name, the others as a list."""

    def __init__(self, graph: nn.Module, named: int) -> None:
        super().__init__()
        self.wrapped = graph
        self.named = named

    def forward(self, *tensors: Tensor) -> Any:
        if self.named == len(tensors):
            return self.wrapped(*tensors) if self.named == 1 else self.wrapped(*tensors, [])
        return self.wrapped(*tensors[: self.named], list(tensors[self.named :]))
