"""One backend turns loaded modules into networks that run, on its device and in its precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hypersd_app.engine.backends.offload import Stage, stream
from hypersd_app.engine.backends.torch_networks import TorchControlNetwork, TorchDecoder, TorchDenoiser, place
from hypersd_app.engine.interfaces import Conditioning, ControlNetwork, Decoder, Denoiser, Residuals
from hypersd_app.engine.loading.lora import LowRank, StyleKey, StylePatch
from hypersd_app.engine.memory.budget import device_bytes, module_bytes
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.engine.memory.model_cache import Loaded
from hypersd_app.engine.memory.placement import Placement, Tier

UNetStyles = Sequence[tuple[StyleKey, float, Mapping[str, LowRank]]]
Load = Callable[[torch.dtype], Any]


class StyledDenoiser(Denoiser, Protocol):
    """A UNet on which style LoRAs can act."""

    def set_styles(self, styles: UNetStyles) -> None:
        """Make exactly these styles act from now on. Raises ModelUnavailable if one does not fit."""
        ...

    def prepared(self, words: Conditioning) -> Conditioning:
        """One prompt's conditioning with all that the UNet computes from words and styles alone."""
        ...


class Backend(Protocol):
    """Makes networks of modules. `load` reads the module into CPU memory in the precision it is given."""

    hardware: Hardware

    def text(self, modules: Sequence[nn.Module]) -> Loaded:
        """A function to call before the text encoders run, which `modules` are, and their bytes."""
        ...

    def text_dtype(self) -> torch.dtype:
        """The precision to read text encoders in."""
        ...

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A `StyledDenoiser` and its bytes."""
        ...

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A `ControlNetwork` and its bytes."""
        ...

    def decoder(self, name: str, load: Load) -> Loaded:
        """A `Decoder` and its bytes."""
        ...

    def synchronize(self) -> None:
        """Wait until the device has done its work."""
        ...


class StyledTorchDenoiser:
    """A torch UNet whose weights take styles in: no cost a step, and a bit-exact way back."""

    def __init__(self, network: TorchDenoiser) -> None:
        self.network = network
        self.in_channels = network.in_channels
        self.patch = StylePatch(network.module)

    def __call__(self, latents: Tensor, t: Tensor, conditioning: Conditioning, residuals: Residuals | None) -> Tensor:
        return self.network(latents, t, conditioning, residuals)

    def set_styles(self, styles: UNetStyles) -> None:
        """Patch the weights; the same styles again cost nothing."""
        self.patch.set(styles_key(styles), [(factors, weight) for _, weight, factors in styles])

    def prepared(self, words: Conditioning) -> Conditioning:
        """Pocket's layout is computed once."""
        layouts = self.network.layouts
        return words if layouts is None else layouts.added_to(words, self.patch.applied)


def styles_key(styles: UNetStyles) -> tuple[tuple[StyleKey, float], ...]:
    """What names these styles, their files as they are now, and weights, and changes with them."""
    return tuple((style, weight) for style, weight, _ in styles)


class TorchBackend:
    """diffusers modules as they are, their weights where the tier says."""

    def __init__(self, hardware: Hardware, tier: Tier = Tier.RESIDENT) -> None:
        self.hardware = hardware
        self._tier = tier
        self._stage = Stage(hardware.torch_device)

    def text_dtype(self) -> torch.dtype:
        """Single precision on the CPU, where text encoders run once a prompt; 16 bits where memory is short."""
        return torch.float16 if self._streamed_on_cpu else self._computing(torch.float32)

    @property
    def _streamed_on_cpu(self) -> bool:
        return self._tier is Tier.STREAMED and self.hardware.device == "cpu"

    def _computing(self, on_cpu: torch.dtype) -> torch.dtype:
        return on_cpu if self.hardware.device == "cpu" else self.hardware.dtype

    def _placed(self, module: nn.Module, compute: torch.dtype) -> nn.Module:
        """A UNet, a ControlNet or a text encoder where it stays while it does not run."""
        module = module.eval().requires_grad_(False)
        if self._tier is Tier.RESIDENT:
            return place(module, self.hardware, compute)
        if self._tier is Tier.MOVED:
            return nn.Module.to(module, compute).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return stream(module, torch.float16 if self._streamed_on_cpu else compute, compute, self.hardware.torch_device)

    def _arrival(self, group: str, modules: Sequence[nn.Module]) -> Callable[[], None]:
        """What to call before `modules` run."""
        if self._tier is not Tier.MOVED:
            return _nothing

        def arrive() -> None:
            for module in modules:
                self._stage.enter(group, module)

        return arrive

    def _loaded(
        self, value: Any, modules: Sequence[nn.Module], *, every_step: bool, grown: Callable[[], int] | None = None
    ) -> Loaded:
        if self._tier is not Tier.MOVED:
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
        network = StyledTorchDenoiser(TorchDenoiser(module, self.hardware, self._arrival("denoise", [module])))
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
        """A VAE without its encoder, which serving never uses. It is small: only parts that take turns leave the device."""
        module = load(self._computing(torch.float32))
        if hasattr(module, "encoder"):
            module.encoder = None
        moved = self._tier is Tier.MOVED
        module = self._placed(module, self.hardware.dtype) if moved else place(module, self.hardware, self.hardware.dtype)
        network: Decoder = TorchDecoder(module, self.hardware, self._arrival("decode", [module]))
        return self._loaded(network, [module], every_step=False)

    def synchronize(self) -> None:
        """GPU work is queued; its time counts where it is waited for."""
        if self.hardware.device == "cuda":
            torch.cuda.synchronize()
        elif self.hardware.device == "mps":
            torch.mps.synchronize()


def _nothing() -> None:
    """What stays on the device need not come."""


class Backends:
    """The backend of each placement, made when it is first needed; OpenVINO is imported only where it is used."""

    def __init__(self, hardware: Hardware, cache: Path) -> None:
        self._hardware = hardware
        self._cache = cache
        self._made: dict[Placement, Backend] = {}

    def of(self, placement: Placement) -> Backend:
        """The backend that runs `placement`."""
        if placement not in self._made:
            self._made.setdefault(placement, self._new(placement))
        return self._made[placement]

    def _new(self, placement: Placement) -> Backend:
        spare = self._hardware.spare_cores if placement.small else 0
        hardware = replace(self._hardware, backend=placement.backend, spare_cores=spare)
        if placement.backend == "openvino":
            from hypersd_app.engine.backends.openvino.backend import OpenVinoBackend

            return OpenVinoBackend(hardware, self._cache / "openvino")
        return TorchBackend(hardware, placement.tier)
