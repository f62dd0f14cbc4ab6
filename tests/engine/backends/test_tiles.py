"""An image for which memory is short is decoded in tiles: before it fails where that can be foreseen, after it where not."""

from __future__ import annotations

import pytest
import torch

from hypersd_app.engine.backends import torch_networks
from hypersd_app.engine.backends.torch_networks import TorchDecoder
from tests.engine.conftest import REFERENCE
from tests.support import tiny_models


def arrive() -> None:
    """Weights are there."""


def test_an_image_is_decoded_in_tiles_if_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_networks, "TILE", 128)
    torch.manual_seed(0)
    vae = tiny_models.small_tiny_decoder().requires_grad_(False).eval()
    latents = torch.nn.functional.interpolate(torch.randn(1, 4, 4, 4), size=(32, 32), mode="bicubic")
    roomy, short, failing = (TorchDecoder(vae, REFERENCE, arrive) for _ in range(3))
    with torch.inference_mode():
        whole = roomy(latents)
        monkeypatch.setattr(torch_networks, "free_bytes", lambda _device: 1000)
        tiled = short(latents)
        assert short._tiled and not roomy._tiled
        assert vae.use_tiling and whole.shape == tiled.shape
        assert (whole.int() - tiled.int()).abs().float().mean() < 8, "only seams differ"
        vae.disable_tiling()
        monkeypatch.setattr(torch_networks, "free_bytes", lambda _device: 10**12)
        decode, failures = vae.decode, [RuntimeError("CUDA out of memory")]

        def once(*args: object, **options: object) -> object:
            if failures:
                raise failures.pop()
            return decode(*args, **options)

        monkeypatch.setattr(vae, "decode", once)
        assert torch.equal(failing(latents), tiled) and failing._tiled, "what could not be foreseen is tried once more"
