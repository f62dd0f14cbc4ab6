"""A style that cannot be applied is refused with words, and nothing of it stays behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from hypersd_app.engine.engine import Engine
from hypersd_app.engine.loading.lora import LowRank, StylePatch, read_factors
from hypersd_app.engine.memory.device import Hardware
from hypersd_app.errors import ModelUnavailable
from hypersd_app.requests import GenerationRequest, StyleWeight
from tests.support import tiny_models

CAT = GenerationRequest("a cat", recipe="unified", seed=7)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_factors_of_different_ranks_are_refused_and_the_next_image_is_right(settings, repositories, backend):
    pytest.importorskip(backend)
    sound = load_file(tiny_models.write_style(settings.styles / "pocket", "sound"))
    last = max(name for name in sound if "lora_B" in name)  # the layers before it would be patched already
    torn = {**sound, last: torch.zeros(len(sound[last]), sound[last].shape[1] + 1, *sound[last].shape[2:], dtype=torch.half)}
    tiny_models.write_style(settings.styles / "pocket", "torn")
    engine = Engine(settings, hardware=Hardware(backend, "cpu", dtype=torch.float32), hub=tiny_models.FolderHub(repositories))
    save_file(torn, settings.styles / "pocket" / "torn.safetensors")  # replaced after it was found: a scan leaves it out
    plain = np.asarray(engine.generate(CAT).images[0])
    with pytest.raises(ModelUnavailable, match=r"torn.*different ranks"):
        engine.generate(GenerationRequest("a cat", recipe="unified", seed=7, styles=(StyleWeight("sound"), StyleWeight("torn"))))
    assert np.array_equal(np.asarray(engine.generate(CAT).images[0]), plain)
    engine.close()


@pytest.mark.parametrize("failure", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_whatever_goes_wrong_while_patching_is_undone(failure):
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    before = {name: value.clone() for name, value in network.state_dict().items()}

    class Failing(LowRank):
        def delta(self, weight: float = 1.0) -> torch.Tensor:
            raise failure

    sound = LowRank(torch.randn(2, 4), torch.randn(4, 2), 1.0)
    patch = StylePatch(network)
    with pytest.raises(failure):
        patch.set("torn", [({"0": sound, "1": Failing(sound.down, sound.up, 1.0)}, 1.0)])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert (patch.applied, patch.bytes) == ((), 0)


@pytest.mark.parametrize("broken", ["metadata is a list", "alpha is a list", "alpha is two numbers"])
def test_a_file_that_is_no_lora_inside_is_named(settings, broken):
    path = tiny_models.write_style(settings.styles / "pocket", "broken")
    tensors, metadata = load_file(path), {}
    if broken == "alpha is two numbers":
        name = next(name for name in tensors if "lora_A" in name)
        tensors[name.replace("lora_A.weight", "alpha")] = torch.ones(2)
    else:
        value = [1] if broken == "metadata is a list" else {"unet.lora_alpha": [1]}
        metadata = {"lora_adapter_metadata": json.dumps(value)}
    save_file(tensors, path, metadata)
    with pytest.raises(ModelUnavailable, match=path.name):
        read_factors(path)
