"""The page counts the pieces of words that the model reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersd_app.engine.loading.checkpoints import BASE_MODELS, clip_tokenizer
from hypersd_app.ui.clip_tokens import clip_table

PROMPTS = [
    "a red apple", "", "  A  Photo,of\na CAT!!! (masterpiece:1.2)", "schöne Bäume — ein Häuschen", "кошка на столе 🦊🦊",
    "日本の猫",
    "it's 1girl, 8k uhd",
    "x" * 300, "don't, we'll; they're 100% sure… «oui»", "\u200b zero width", "e\u0301 composed",
]  # fmt: skip


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_tokens_are_those_of_the_model(prompt: str, tmp_path: Path) -> None:
    expected = clip_tokenizer(BASE_MODELS / "sd15" / "tokenizer")
    table = clip_table(tmp_path / "model.safetensors")
    assert list(table.ids(prompt)) == expected(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    assert (table.start, table.end, table.length) == (expected.bos_token_id, expected.eos_token_id, expected.model_max_length)
    assert table.comma == expected.get_vocab()[",</w>"]


def test_a_models_own_tokens_are_used(tmp_path: Path) -> None:
    clip_tokenizer(BASE_MODELS / "sd15" / "tokenizer").save_pretrained(tmp_path / "tokenizer")
    assert clip_table(tmp_path).ids("a red apple") == clip_table(tmp_path / "nowhere").ids("a red apple")
