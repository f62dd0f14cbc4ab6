"""One backend turns loaded modules into networks that run, on its device and in its precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from hypersd_app.catalog.rows import StyleSpec
from hypersd_app.engine.adapters import LowRank, StylePatch
from hypersd_app.engine.hardware import Hardware
from hypersd_app.engine.memory import module_bytes
from hypersd_app.engine.networks import Conditioning, ControlNetwork, Decoder, Denoiser, Residuals
from hypersd_app.engine.residency import Loaded
from hypersd_app.engine.torch_networks import TorchControlNetwork, TorchDecoder, TorchDenoiser, place

UNetStyles = Sequence[tuple[StyleSpec, float, Mapping[str, LowRank]]]
Load = Callable[[], Any]


class StyledDenoiser(Denoiser, Protocol):
    """A UNet on which style LoRAs can act."""

    def set_styles(self, styles: UNetStyles) -> None:
        """Make exactly these styles act from now on. Raises ModelUnavailable if one does not fit."""
        ...


class Backend(Protocol):
    """Makes networks of modules. `load` reads the module into CPU memory; a backend with its own cache may not need it."""

    hardware: Hardware

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
        key = tuple((style.path, weight) for style, weight, _ in styles)
        self.patch.set(key, [(factors, weight) for _, weight, factors in styles])


class TorchBackend:
    """diffusers modules as they are."""

    def __init__(self, hardware: Hardware) -> None:
        self.hardware = hardware

    def denoiser(self, name: str, load: Load) -> Loaded:
        """A styled UNet."""
        module = place(load(), self.hardware)
        return Loaded(StyledTorchDenoiser(TorchDenoiser(module, self.hardware)), module_bytes(module))

    def controlnet(self, name: str, load: Load) -> Loaded:
        """A ControlNet."""
        module = place(load(), self.hardware)
        network: ControlNetwork = TorchControlNetwork(module, self.hardware)
        return Loaded(network, module_bytes(module))

    def decoder(self, name: str, load: Load) -> Loaded:
        """A VAE without its encoder, which serving never uses."""
        module = load()
        if hasattr(module, "encoder"):
            module.encoder = None
        module = place(module, self.hardware)
        network: Decoder = TorchDecoder(module, self.hardware)
        return Loaded(network, module_bytes(module))

    def synchronize(self) -> None:
        """GPU work is queued; its time counts where it is waited for."""
        if self.hardware.device == "cuda":
            torch.cuda.synchronize()
        elif self.hardware.device == "mps":
            torch.mps.synchronize()


def new_backend(hardware: Hardware, cache: Path) -> Backend:
    """The backend of `hardware`; OpenVINO is imported only where it is used."""
    if hardware.backend == "openvino":
        from hypersd_app.engine.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(hardware, cache / "openvino")
    return TorchBackend(hardware)
