"""Backend, device, precision and compilation: as the settings say, and told in the label."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from hypersd_app.engine.backends.torch_networks import TorchDenoiser
from hypersd_app.engine.interfaces import Conditioning
from hypersd_app.engine.loading.lora import LowRank, StylePatch
from hypersd_app.engine.memory import budget as memory
from hypersd_app.engine.memory.device import Hardware, choose_hardware
from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.settings import ROOT, Settings, from_environment


def test_precision_and_compilation_are_settings():
    chosen = from_environment({"HYPERSD_PRECISION": "bfloat16", "HYPERSD_COMPILE": "1", "HYPERSD_BACKEND": "torch"}, device="cpu")
    hardware = choose_hardware(chosen)
    assert (hardware.dtype, hardware.compile) == (torch.bfloat16, True)
    assert hardware.label == "torch, cpu, bfloat16"
    assert replace(hardware, backend="openvino").label == "openvino, cpu, bfloat16", "OpenVINO has compiling of its own"
    assert choose_hardware(Settings(device="cpu", backend="torch")).compile is False
    with pytest.raises(InvalidRequest, match="precision"):
        Settings(precision="float8")
    with pytest.raises(ModelUnavailable, match="float16"):
        choose_hardware(Settings(device="cpu", precision="float16"))


def test_a_core_is_spared_where_the_visitor_s_browser_is():
    assert Settings().for_visitors().spare_cores == 1
    assert Settings(host="0.0.0.0").for_visitors().spare_cores == 0
    assert Settings(host="0.0.0.0", spare_cores=2).for_visitors().spare_cores == 2
    assert choose_hardware(Settings()).spare_cores == 0, "who draws by the command line has no browser beside it"
    with pytest.raises(InvalidRequest, match="spare_cores"):
        Settings(spare_cores=-2)


def test_a_mac_draws_in_what_its_chip_takes(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)  # no OpenVINO there
    chosen = choose_hardware(Settings())
    assert (chosen.backend, chosen.device, chosen.dtype) == ("torch", "mps", torch.float16)
    assert chosen.label == "torch, mps, float16" and chosen.torch_device.type == "mps"
    assert choose_hardware(Settings(precision="float32")).dtype == torch.float32


def test_what_serves_sends_no_double_to_the_device():
    """MPS has no float64: it may be computed with on the processor, where `device` is not named."""
    serving = [path for room in ("engine", "models", "images") for path in (ROOT / "hypersd_app" / room).rglob("*.py")]
    lines = [line for path in serving for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if ("float64" in line or ".double()" in line) and ("device" in line or ".to(" in line)]


def test_another_process_can_be_given_the_same_settings(tmp_path):
    mine = Settings(backend="torch", offline=True, worker=False, assets=tmp_path, memory_gb=1.5, port=1234, host="0.0.0.0")
    assert from_environment(mine.environment) == replace(mine, port=7860, host="127.0.0.1")


def test_released_memory_goes_back_to_the_device(monkeypatch):
    emptied = []
    monkeypatch.setattr(memory.torch, "mps", SimpleNamespace(empty_cache=lambda: emptied.append("mps")))
    memory.release("cpu")
    memory.release("mps")
    assert emptied == ["mps"]


@pytest.mark.slow
def test_a_compiled_unet_predicts_the_same_and_takes_styles():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8, block_out_channels=(8,), layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), mid_block_type=None,
    ).requires_grad_(False)  # fmt: skip
    single = Hardware("torch", "cpu", dtype=torch.float32)
    plain, compiled = (TorchDenoiser(unet, hardware, lambda: None) for hardware in (single, replace(single, compile=True)))
    assert compiled._forward is not unet
    latents, t, words = torch.randn(1, 4, 8, 8), torch.tensor(500), Conditioning(torch.randn(1, 3, 8))
    patch, predictions = StylePatch(unet), []
    for strength in (0.0, 1.0):
        patch.set(strength, [({"conv_in": LowRank(torch.randn(2, 4, 3, 3), torch.randn(8, 2, 1, 1), 1.0)}, strength)])
        made, expected = (network(latents, t, words, None) for network in (compiled, plain))
        assert torch.allclose(made, expected, atol=1e-4)
        predictions.append(made)
    assert not torch.allclose(*predictions, atol=1e-2), "compiled code reads the weights as they are now"
