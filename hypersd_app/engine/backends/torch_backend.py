"""The torch backend: diffusers modules as they are, their weights where the tier says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from hypersd_app.engine.backends.base import Load, UNetStyles, styles_key
from hypersd_app.engine.backends.offload import Stage, sequential_offload
from hypersd_app.engine.backends.torch_networks import TorchControlNetwork, TorchDecoder, TorchDenoiser, TorchEncoder, place
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Decoder, Encoder, Residuals
from hypersd_app.engine.loading.lora import StylePatch
from hypersd_app.engine.memory.budget import device_bytes, module_bytes
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Loaded
from hypersd_app.engine.memory.placement import Tier
from hypersd_app.engine.sampling.layout_cache import layout_code

STAYS = 200_000_000  # bytes


class StyledTorchDenoiser:
    """A torch UNet whose weights take styles in: no cost a step, and a bit-exact way back."""

    def __init__(self, network: TorchDenoiser, changing: Callable[[], None]) -> None:
        """`changing` is called before weights change."""
        self.network = network
        self._changing = changing
        self.in_channels = network.in_channels
        self.layout_code = layout_code(network.module)
        self.patch = StylePatch(network.module)
        self._acting: UNetStyles | None = None

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        return self.network(latents, t, conditioning, residuals)

    def set_styles(self, styles: UNetStyles) -> None:
        """Patch the weights; the same styles again cost nothing."""
        if styles is self._acting:
            return
        self._changing()
        self._acting = None  # should one not fit
        self.patch.set(styles_key(styles), [(factors, weight) for _, weight, factors in styles])
        self._acting = styles

    @property
    def state(self) -> str:
        """Whether it runs compiled, for people."""
        return self.network.state

    def prepared(self, words: Conditioning) -> Conditioning:
        """Pocket's layout is computed once."""
        layouts = self.network.layouts
        return words if layouts is None else layouts.added_to(words, self.patch.applied)


class TorchBackend:
    """diffusers modules as they are, their weights where the tier says."""

    def __init__(self, hardware: Hardware, tier: Tier = Tier.RESIDENT) -> None:
        # Weights that come and go have no place that a compiled graph could read them from.
        self.hardware = hardware if tier is Tier.RESIDENT else replace(hardware, compile=False)
        self._tier = tier
        self._stage = Stage(hardware.torch_device)

    def text_dtype(self) -> torch.dtype:
        """Single precision on the CPU, where text encoders run once a prompt; 16 bits where memory is short."""
        return torch.float16 if self._streamed_on_cpu else self._computing(torch.float32)

    @property
    def _streamed_on_cpu(self) -> bool:
        return self._tier is Tier.SEQUENTIAL_OFFLOAD and self.hardware.device == "cpu"

    def _computing(self, on_cpu: torch.dtype) -> torch.dtype:
        return on_cpu if self.hardware.device == "cpu" else self.hardware.dtype

    def _placed(self, module: nn.Module, compute: torch.dtype) -> nn.Module:
        """A UNet, a ControlNet or a text encoder where it stays while it does not run."""
        module = module.eval().requires_grad_(False)
        if self._tier is Tier.RESIDENT:
            return place(module, self.hardware, compute)
        if self._tier is Tier.MODEL_OFFLOAD:
            return nn.Module.to(module, compute).to(memory_format=torch.channels_last)
        return sequential_offload(module, torch.float16 if self._streamed_on_cpu else compute, compute, self.hardware.torch_device)

    def _arrival(self, group: str, modules: Sequence[nn.Module]) -> Callable[[], None]:
        """What to call before `modules` run."""
        if self._tier is not Tier.MODEL_OFFLOAD:
            return _nothing

        def arrive() -> None:
            for module in modules:
                self._stage.enter(group, module)

        return arrive

    def _loaded(
        self, value: Any, modules: Sequence[nn.Module], *, every_step: bool, grown: Callable[[], int] | None = None
    ) -> Loaded:
        if self._tier is not Tier.MODEL_OFFLOAD:
            return Loaded(value, sum(device_bytes(module, self.hardware.torch_device) for module in modules), grown=grown)

        def close() -> None:
            for module in modules:
                self._stage.drop(module)

        # The parts take turns, and those that run at every step are the most that is ever there.
        return Loaded(value, sum(module_bytes(module) for module in modules) if every_step else 0, close, grown)

    def text(self, modules: Sequence[nn.Module]) -> Loaded:
        """Place the text encoders."""
        placed = [self._placed(module, self._computing(torch.float32)) for module in modules]
        return self._loaded(self._arrival("text", placed), placed, every_step=False)

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A styled UNet."""
        module = self._placed(load(self._reading()), self.hardware.dtype)
        network = StyledTorchDenoiser(
            TorchDenoiser(module, self.hardware, self._arrival("denoise", [module])), lambda: self._stage.change(module)
        )
        return self._loaded(network, [module], every_step=True, grown=lambda: network.patch.bytes)

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A ControlNet."""
        module = self._placed(load(self._reading()), self.hardware.dtype)
        network: ControlNetwork = TorchControlNetwork(module, self.hardware, self._arrival("denoise", [module]))
        return self._loaded(network, [module], every_step=True)

    def _reading(self) -> torch.dtype:
        """Single precision on the CPU, so that a fused LoRA is rounded once; 16 bits where memory is short."""
        return torch.float16 if self._streamed_on_cpu else self._computing(torch.float32)

    def decoder(self, name: str, load: Load) -> Loaded:
        """A VAE without its encoder. It is small: only parts that take turns leave the device."""
        module = self._half_vae(load, "encoder")
        network: Decoder = TorchDecoder(module, self.hardware, self._arrival("decode", self._moving(module)))
        return self._loaded(network, [module], every_step=self._stays(module))

    def encoder(self, name: str, load: Load) -> Loaded:
        """A VAE without its decoder."""
        module = self._half_vae(load, "decoder")
        network: Encoder = TorchEncoder(module, self.hardware, self._arrival("encode", self._moving(module)))
        return self._loaded(network, [module], every_step=self._stays(module))

    def _half_vae(self, load: Load, left_out: str) -> nn.Module:
        module: Any = load(self._computing(torch.float32))
        setattr(module, left_out, None)
        moved = self._tier is Tier.MODEL_OFFLOAD and not self._stays(module)
        return self._placed(module, self.hardware.dtype) if moved else place(module, self.hardware, self.hardware.dtype)

    def _moving(self, module: nn.Module) -> list[nn.Module]:
        return [] if self._stays(module) else [module]

    def _stays(self, module: nn.Module) -> bool:
        """Whether half a VAE is so small that it stays on the device: for its sake the UNet would go and come at every image."""
        return self._tier is not Tier.MODEL_OFFLOAD or module_bytes(module) <= STAYS

    def synchronize(self) -> None:
        """GPU work is queued; its time counts where it is waited for."""
        if self.hardware.device == "cuda":
            torch.cuda.synchronize()
        elif self.hardware.device == "mps":
            torch.mps.synchronize()


def _nothing() -> None:
    """No-op: the weights are already on the device."""
