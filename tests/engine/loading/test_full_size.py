"""Stable Diffusion 1.5 at its true size, random, written as true files and read through the loader.

Opt in with HYPERSD_FULL_SIZE=1: it writes 2 GB, needs 8 GB of memory and minutes. It prints the peak.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from hypersd_app.bench import models as bench_models
from hypersd_app.bench.models import filled, new_unet, new_vae, text_encoders
from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.checkpoints import BASE_MODELS, clip_tokenizer
from hypersd_app.engine.memory.device import choose_hardware
from hypersd_app.requests import GenerationRequest
from hypersd_app.system import peak_bytes, reset_peak
from tests.engine.conftest import SD15
from tests.support import tiny_models

MOST_BYTES = 12e9  # float32 weights take 4 GB; what is read and converted comes beside them


def write_full_size(folder: Path) -> None:
    """A diffusers folder with float16 weights, as on the Hub."""
    shutil.copytree(BASE_MODELS / "sd15", folder)
    clip_tokenizer(folder / "tokenizer").save_pretrained(folder / "tokenizer")
    (make_text,) = text_encoders("sd15")
    for name, make in {"text_encoder": make_text, "unet": lambda: new_unet("sd15"), "vae": lambda: new_vae("sd15")}.items():
        module: nn.Module = filled(make, torch.float16)
        module.save_pretrained(folder / name, variant="fp16")  # type: ignore[operator]
        del module


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("HYPERSD_FULL_SIZE"), reason="asked for by HYPERSD_FULL_SIZE=1")
def test_the_true_size_loads_and_draws_within_its_memory(settings, tmp_path, capsys):
    assert bench_models.BASE_MODELS == BASE_MODELS
    write_full_size(tmp_path / "hub" / SD15)
    reset_peak()
    engine = Engine(settings, hardware=choose_hardware(settings), hub=tiny_models.FolderHub(tmp_path / "hub"))
    # The base model alone: no accelerating LoRA of this size is at hand.
    image = engine.generate(GenerationRequest("a cat", model="sd15", recipe="teacher", num_inference_steps=8)).images[0]
    resident = engine.status()["bytes"]
    engine.close()
    with capsys.disabled():
        print(f"\nSD1.5 at full size: peak {peak_bytes() / 1e9:.2f} GB, of which weights {resident / 1e9:.2f} GB")
    assert image.size == (512, 512)
    assert resident > 1.5e9
    assert peak_bytes() < MOST_BYTES
