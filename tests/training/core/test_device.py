"""The training device is chosen in one place, and the precision follows from it."""

import pytest
import torch
from torch import nn

from hypersd_app.settings import ROOT
from hypersd_app.training.core import device


@pytest.fixture(autouse=True)
def _forget():
    yield
    forget()


def forget():
    device.training_device.cache_clear()
    device.compute_dtype.cache_clear()


def machine(monkeypatch, cuda=False, mps=False, cuda_bfloat16=True, cpu_bfloat16=True):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: cuda_bfloat16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(device, "has_native_bfloat16", lambda: cpu_bfloat16)
    forget()


@pytest.mark.parametrize(
    ("given", "kind", "dtype"),
    [
        ({"cuda": True, "mps": True}, "cuda", torch.bfloat16),
        ({"cuda": True, "cuda_bfloat16": False}, "cuda", torch.float32),
        ({"mps": True}, "mps", torch.float32),
        ({}, "cpu", torch.bfloat16),
        ({"cpu_bfloat16": False}, "cpu", torch.float32),
    ],
)
def test_the_device_and_its_precision(monkeypatch, given, kind, dtype):
    machine(monkeypatch, **given)
    assert device.training_device() == torch.device(kind)
    assert device.compute_dtype() == dtype
    expected = torch.channels_last if dtype == torch.bfloat16 else torch.contiguous_format
    assert device.memory_format() == expected


def test_on_mps_networks_and_inputs_go_there_in_float32(monkeypatch):
    machine(monkeypatch, mps=True)
    moved = []
    monkeypatch.setattr(nn.Module, "to", lambda self, *a, **k: (moved.append(k), self)[1])
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: (moved.append(a), self)[1])
    device.place(nn.Conv2d(3, 3, 1))
    images = device.images_to_device(torch.zeros(1, 3, 4, 4))
    assert moved[0] == {"device": torch.device("mps")} and moved[-1] == (torch.device("mps"),)
    assert images.is_contiguous()
    assert device.mixed_precision()._enabled is False


def test_no_stage_names_a_device_itself():
    folder = ROOT / "hypersd_app" / "training"
    # The count of memory makes tensors that are nowhere: it says itself what they stand for.
    allowed = [folder / name for name in ("core/device.py", "core/peak_memory.py", "distillation/memory.py")]
    words = ('autocast("', "cuda.is_available", "mps.is_available", '.to("c', 'device="c')
    for path in folder.rglob("*.py"):
        found = [word for word in words if word in path.read_text(encoding="utf-8")]
        assert path in allowed or not found, f"{path}: {found}"
