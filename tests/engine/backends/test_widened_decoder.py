"""A VAE that overflows in 16 bits decodes in 32, which is told; one that gives no numbers at all is no black image."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from hypersd_app.engine.backends.torch_networks import TorchDecoder
from hypersd_app.errors import HyperSDError
from tests.engine.conftest import REFERENCE

HALF = replace(REFERENCE, dtype=torch.bfloat16)
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def small_vae() -> AutoencoderKL:
    torch.manual_seed(0)
    made: AutoencoderKL = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4).eval().requires_grad_(False)
    return made


def overflowing(vae: AutoencoderKL, dtypes: tuple[torch.dtype, ...]) -> AutoencoderKL:
    """Gives what overflow gives, in some precisions."""

    def overflow(_module: object, _inputs: object, output: Tensor) -> Tensor:
        return output * torch.nan if output.dtype in dtypes else output

    vae.decoder.conv_out.register_forward_hook(overflow)
    return vae


def test_what_overflows_is_decoded_in_float32_from_then_on() -> None:
    expected = TorchDecoder(small_vae(), REFERENCE, lambda: None)(LATENTS)
    vae = overflowing(small_vae().to(torch.bfloat16), (torch.bfloat16,))
    decoder = TorchDecoder(vae, HALF, lambda: None)
    assert decoder.widened == ""
    for _ in range(2):
        found = decoder(LATENTS)
        assert (found.int() - expected.int()).abs().max() <= 3, "of weights that were rounded once"
    assert decoder.widened == ", decoder in float32 for it gives no numbers in bfloat16"
    assert next(vae.parameters()).dtype == torch.bfloat16, "what comes and goes stays as it is"


def test_no_numbers_at_all_are_told() -> None:
    vae = overflowing(small_vae(), (torch.float32,))
    with pytest.raises(HyperSDError, match="gives no numbers"):
        TorchDecoder(vae, REFERENCE, lambda: None)(LATENTS)
