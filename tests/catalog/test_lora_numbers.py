"""Files with values that are no numbers are refused: at the door, and where one lay in the folder already, when it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hypersd_app.catalog.lora.numbers import require_numbers
from hypersd_app.engine.loading.lora import read_factors
from hypersd_app.errors import ModelUnavailable
from tests.support import lora_files

KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


def written(folder: Path, dtype: torch.dtype, wrong: float | None) -> Path:
    down, up = torch.full((2, 320), -0.25), torch.full((320, 2), 0.5)
    if wrong is not None:
        up[7, 1] = wrong
    tensors = {f"{LAYER}.lora_down.weight": down.to(dtype), f"{LAYER}.lora_up.weight": up.to(dtype)}
    return lora_files.write(folder / "style.safetensors", {**tensors, f"{LAYER}.alpha": torch.tensor(2)})


@pytest.mark.parametrize("dtype", KINDS)
def test_sound_values_of_every_kind_pass(dtype: torch.dtype, tmp_path: Path) -> None:
    path = written(tmp_path, dtype, None)
    require_numbers(path)
    assert len(read_factors(path)["unet"]) == 1


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_one_value_that_is_no_number_is_found(dtype: torch.dtype, wrong: float, tmp_path: Path) -> None:
    if dtype == torch.float8_e4m3fn and wrong == float("inf"):
        pytest.skip("it has no infinity")
    path = written(tmp_path, dtype, wrong)
    for look in (require_numbers, read_factors):
        with pytest.raises(ModelUnavailable, match=r"style.safetensors is damaged: '.*lora_up.*' holds values"):
            look(path)
