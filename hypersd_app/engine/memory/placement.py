"""Which backend runs a model and where its weights stay, decided by what they weigh before any of them is read."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch

from hypersd_app.engine.memory.budget import SHARE
from hypersd_app.engine.memory.device import Hardware

logger = logging.getLogger(__name__)

SMALL = 100_000_000  # weights of a UNet that is drawn with while the pen moves, on a processor
SINGLE, HALF = torch.float32.itemsize, torch.float16.itemsize


class Tier(enum.Enum):
    """Where the weights of a model's parts are while they do not run. The value is for people."""

    RESIDENT = ""  # on the device, as they are computed with
    MODEL_OFFLOAD = "parts take turns on the device"  # in the machine's memory, each part brought over whole
    SEQUENTIAL_OFFLOAD = "weights in 16 bits, brought over layer by layer"  # in the machine's memory, each layer brought over alone


@dataclass(frozen=True)
class Footprint:
    """Numbers of weights of a model's parts; a decoder without its encoder."""

    text: int
    unet: int
    decoder: int
    control: int = 0

    def covering(self, other: Footprint) -> Footprint:
        """The larger of both, part by part."""
        return Footprint(*(max(getattr(self, part.name), getattr(other, part.name)) for part in fields(self)))


@dataclass(frozen=True)
class Placement:
    """How a model runs: `backend` is "torch" or "openvino"; a `small` one leaves the hardware's spare cores to others.

    The parts of a small network are over so soon that all threads wait, again and again, for the one whose core a browser
    has taken: on two cores it is done sooner by one thread alone. A large one gains by every core.
    """

    backend: str
    tier: Tier = Tier.RESIDENT
    small: bool = False

    def weight_bytes(self, hardware: Hardware, part: str) -> int:
        """Bytes of one weight of the `Footprint` part `part`, in the machine's memory or on the device."""
        if self.tier is Tier.SEQUENTIAL_OFFLOAD and part != "decoder":
            return HALF
        # On the CPU a text encoder runs once a prompt and stays in single precision.
        return SINGLE if hardware.device == "cpu" and part == "text" else hardware.dtype.itemsize

    def bytes(self, hardware: Hardware, footprint: Footprint) -> int:
        """Bytes of all parts together."""
        parts = (part.name for part in fields(footprint))
        return sum(self.weight_bytes(hardware, part) * getattr(footprint, part) for part in parts)


def choose_placement(hardware: Hardware, budget: int, footprint: Footprint) -> Placement:
    """The fastest way to run a model of this size within `budget` bytes; the frugalest, if none fits."""
    resident = Placement("torch")
    if hardware.backend == "openvino" and openvino_fits(hardware, budget, footprint):
        return Placement("openvino", small=footprint.unet <= SMALL)
    if resident.bytes(hardware, footprint) <= budget:
        return resident
    if hardware.device == "cuda":
        # ControlNet and UNet take part in every step: they come and go together.
        # A decoder is small and stays.
        largest = max(footprint.text, footprint.unet + footprint.control) + footprint.decoder
        tier = Tier.MODEL_OFFLOAD if largest * hardware.dtype.itemsize <= budget else Tier.SEQUENTIAL_OFFLOAD
        return Placement("torch", tier)
    single = hardware.device == "cpu" and hardware.dtype == torch.float32
    return Placement("torch", Tier.SEQUENTIAL_OFFLOAD) if single else resident


def openvino_fits(hardware: Hardware, budget: int, footprint: Footprint) -> bool:
    """Whether the compiled networks fit, and beside them the one that is being converted, in single precision."""
    compiled = Placement("openvino").bytes(hardware, footprint)
    converting = SINGLE * max(footprint.unet, footprint.control)
    return compiled <= budget and compiled + converting <= budget / SHARE


class Placements:
    """The placement of each model. One that had to step down, say for a ControlNet, stays there: going back costs a load."""

    def __init__(self, hardware: Hardware, budget: int) -> None:
        self._hardware = hardware
        self._budget = budget
        self._counted: dict[tuple[str, object], Footprint] = {}
        self._chosen: dict[str, tuple[Footprint, Placement]] = {}
        self._lock = threading.Lock()

    def of(self, model: str, parts: object, count: Callable[[], Footprint]) -> tuple[Placement, Footprint]:
        """The placement of `model` when it runs with `parts`, and their sizes, counted once. Raises what `count` raises."""
        if (model, parts) not in self._counted:
            self._counted[model, parts] = count()
        with self._lock:
            size = self._counted[model, parts]
            largest, placement = self._chosen.get(model, (size, None))
            largest = largest.covering(size)
            chosen = choose_placement(self._hardware, self._budget, largest)
            if chosen != placement:
                logger.info("%s runs with %s", model, self.label(chosen))
            self._chosen[model] = (largest, chosen)
        return chosen, size

    def label(self, placement: Placement) -> str:
        """For people: "torch, cpu, float32, weights in 16 bits, ..."."""
        label = replace(self._hardware, backend=placement.backend).label
        return f"{label}, {placement.tier.value}" if placement.tier.value else label
