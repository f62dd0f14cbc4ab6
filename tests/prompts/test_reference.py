"""Two hundred prompts in both grammars: parsed, filled into chunks and encoded as A1111 and ComfyUI do.

`reference.json` holds what their own code made of them (see "about" in it) on the encoders of `tests.support.steady_clip`.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hypersd_app.catalog.specs import EmbeddingSpec
from hypersd_app.engine.loading.checkpoints import BASE_MODELS, clip_tokenizer
from hypersd_app.engine.sampling.text import PromptEncoder
from hypersd_app.prompts.chunks import Vector
from hypersd_app.prompts.schedules import prompt_schedule
from hypersd_app.prompts.weights import a1111_segments, comfyui_segments
from hypersd_app.prompts.wording import Wording
from tests.support.steady_clip import EMBEDDINGS, encoders, fingerprint, vectors

ROWS = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))["rows"]
GRAMMARS = ("a1111", "comfyui")


@pytest.fixture(scope="module")
def prompt_encoders() -> dict[str, PromptEncoder]:
    """SD1.5's and SDXL's."""
    first, second = encoders()
    tokenizers = [clip_tokenizer(BASE_MODELS / "sdxl" / name) for name in ("tokenizer", "tokenizer_2")]
    made = {"sd15": PromptEncoder(tokenizers[:1], [first]), "sdxl": PromptEncoder(tokenizers, [first, second])}
    return made


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> tuple[EmbeddingSpec, ...]:
    """Two textual inversions, in files as SDXL's are."""
    folder, rows = tmp_path_factory.mktemp("embeddings"), []
    for name, count in EMBEDDINGS.items():
        path = folder / f"{name}.safetensors"
        save_file({"clip_l": vectors(name, 0), "clip_g": vectors(name, 1)}, path)
        rows.append(EmbeddingSpec(name, "sdxl", path, count))
    return tuple(rows)


def test_there_are_two_hundred_prompts_of_all_kinds() -> None:
    assert len(ROWS) == 200
    assert sum(row.get("schedules") is not None for row in ROWS) > 30
    assert max(len(row["prompt"]) for row in ROWS) == 5000
    assert sum(bool(chunk["embeddings"]) for row in ROWS for chunk in row["comfyui"]["chunks"]) > 5


@pytest.mark.parametrize(("grammar", "parse"), [("a1111", a1111_segments), ("comfyui", comfyui_segments)])
def test_words_have_the_weights_of_the_other_program(grammar, parse) -> None:
    for row in ROWS:
        assert [[part.text, part.weight] for part in parse(row["prompt"])] == row[grammar]["segments"], row["prompt"]


def test_schedules_are_those_of_a1111() -> None:
    for row in ROWS:
        for steps, expected in (row.get("schedules") or {}).items():
            assert [list(part) for part in prompt_schedule(row["prompt"], int(steps))] == expected, row["prompt"]


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_chunks_hold_the_same_tokens_and_weights(grammar, prompt_encoders, embeddings) -> None:
    table = prompt_encoders["sd15"]._clip[0].table
    for row in ROWS:
        found = []
        for chunk in Wording(row["prompt"], grammar, embeddings=embeddings).chunks(table):
            end = chunk.tokens.index(table.end)
            words, weights = chunk.tokens[1:end], chunk.weights[1:end]
            firsts = [[at, token.embedding] for at, token in enumerate(words) if isinstance(token, Vector) and token.index == 0]
            found.append({
                "ids": [0 if isinstance(token, Vector) else token for token in words],
                "weights": [[len(list(run)), weight] for weight, run in groupby(weights)],
                "embeddings": firsts,
            })  # fmt: skip
        assert found == row[grammar]["chunks"], row["prompt"]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
@pytest.mark.parametrize("grammar", GRAMMARS)
def test_embeddings_are_the_same(grammar, family, prompt_encoders, embeddings) -> None:
    for row in ROWS:
        if len(row["prompt"]) > 2000 and grammar == "comfyui":
            continue  # the long ones are tried once
        made = prompt_encoders[family](Wording(row["prompt"], grammar, embeddings=embeddings))
        assert fingerprint(made.hidden) == pytest.approx(row[grammar][family], abs=1e-4), row["prompt"]
        if family == "sdxl":
            assert fingerprint(made.pooled) == pytest.approx(row[grammar]["pooled"], abs=1e-4), row["prompt"]


def test_words_without_weights_are_as_diffusers_reads_them(prompt_encoders) -> None:
    encoder = prompt_encoders["sd15"]
    tokenizer, module = encoder.tokenizers[0], encoder.encoders[0]
    ids = tokenizer("a red apple", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.inference_mode():
        expected = module(ids)[0]
    for grammar in ("plain", *GRAMMARS):
        assert torch.equal(encoder(Wording("a red apple", grammar)).hidden, expected)
