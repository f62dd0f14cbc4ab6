"""Which backend, device and precision this machine is best at; decided once."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import torch

from hypersd_app.engine.memory.zero_gpu import lends_gpu
from hypersd_app.errors import ModelUnavailable
from hypersd_app.settings import Settings
from hypersd_app.system import has_native_bfloat16


@dataclass(frozen=True)
class Hardware:
    """`backend` is "torch" or "openvino"; `dtype` is what the networks compute in (samplers always use float32)."""

    backend: str
    device: str
    _: KW_ONLY
    dtype: torch.dtype
    compile: bool = False  # networks by torch.compile, where torch runs them
    threads: int = 0  # of the processor; 0 leaves it to the backend
    spare_cores: int = 0  # that OpenVINO does without, where threads are 0

    @property
    def label(self) -> str:
        """For people: "openvino, cpu, bfloat16"."""
        return f"{self.backend}, {self.device}, {str(self.dtype).removeprefix('torch.')}"

    @property
    def torch_device(self) -> torch.device:
        """Where torch modules live."""
        return torch.device(self.device)


def choose_hardware(settings: Settings) -> Hardware:
    """Settings' choice, "auto" filled in. Raises ModelUnavailable if what was asked for is not here."""
    device = _device(settings.device)
    backend = _backend(settings.backend, device)
    dtype = _precision(settings.precision, device)
    return Hardware(
        backend,
        device,
        dtype=dtype,
        compile=settings.compile and not lends_gpu(),  # each lent call is a process of its own, which would compile anew
        threads=settings.threads,
        spare_cores=max(0, settings.spare_cores),
    )


def cores() -> int:
    """Processor cores that this process may use, each once whatever number of threads it runs at a time."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    found = set()
    for number in os.sched_getaffinity(0):
        siblings = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        found.add(siblings.read_text(encoding="utf-8") if siblings.exists() else str(number))
    return len(found)


def _device(wanted: str) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, present in there.items() if present)
    if not there[wanted]:
        raise ModelUnavailable(f"There is no {wanted} device on this machine; use --device cpu or auto.")
    return wanted


def _backend(wanted: str, device: str) -> str:
    installed = importlib.util.find_spec("openvino") is not None
    if wanted == "openvino" and (device != "cpu" or not installed):
        reason = "it runs on the CPU only" if installed else "the package openvino is not installed"
        raise ModelUnavailable(f"The OpenVINO backend cannot be used: {reason}.")
    if wanted == "auto":
        return "openvino" if device == "cpu" and installed else "torch"
    return wanted


def _precision(wanted: str, device: str) -> torch.dtype:
    if wanted != "auto":
        if wanted == "float16" and device == "cpu":
            raise ModelUnavailable("No processor computes in float16; use --precision bfloat16, float32 or auto.")
        return getattr(torch, wanted)
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device == "mps":
        return torch.float16
    return torch.bfloat16 if has_native_bfloat16() else torch.float32
