"""The benchmark measures parts that add up, and counts operations right."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from torch import nn

from hypersd_app.bench.flops import decoder_gflop, gflop, text_gflop, unet_gflop
from hypersd_app.bench.models import new_controlnet, new_unet, new_vae, repeat_into
from hypersd_app.cli import main
from tests.support import tiny_models


def test_a_convolution_is_counted_in_closed_form():
    with torch.device("meta"):
        layer = nn.Conv2d(16, 32, 3, padding=1)
    assert gflop(layer, torch.zeros(1, 16, 8, 8, device="meta")) == pytest.approx(2 * 9 * 16 * 32 * 64 / 1e9)


def test_the_true_shapes_have_the_known_sizes():
    with torch.device("meta"):
        small, large, vae, control = new_unet("sd15"), new_unet("sdxl"), new_vae("sd15"), new_controlnet("sd15")
    millions = [sum(p.numel() for p in module.parameters()) // 10**6 for module in (small, large, vae, control)]
    assert millions == [859, 2567, 83, 361]
    assert unet_gflop(small, 64, 64, 77) == pytest.approx(803, rel=0.02)
    assert decoder_gflop(vae, 64, 64) > 1000


@pytest.mark.slow
def test_bench_writes_figures_that_add_up(settings, tmp_path, monkeypatch, capsys):
    for name in ("assets", "cache", "runs"):
        monkeypatch.setenv(f"HYPERSD_{name.upper()}", str(getattr(settings, name)))
    out = tmp_path / "figures.json"
    assert main(["bench", "pocket", "--backend", "torch", "--repeats", "2", "--reference-repeats", "1", "--json", str(out)]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [row["controlled"] for row in rows] == [False, True]
    for row in rows:
        parts = row["milliseconds"]
        assert parts.pop("total") == pytest.approx(sum(parts.values()), rel=0.5)
        assert row["speedup"] > 0
        assert row["overhead"] > 0
        assert row["peak_memory"] > 10**8
        assert set(row["gflop"]) == {"text", "unet", "decode"} | ({"control"} if row["controlled"] else set())
        assert row["new_prompt"] > 2 * parts["text"], "words never drawn are encoded, those of before are not"
    assert "of ceiling" in capsys.readouterr().out


def test_text_encoders_are_counted_in_closed_form():
    config = tiny_models.clip_config(32, 32)
    width, inner, tokens = config.hidden_size, config.intermediate_size, config.max_position_embeddings
    layer = 4 * width * width + 2 * width * inner + 2 * tokens * width  # four projections, two of the MLP, attention itself
    counted = text_gflop([transformers.CLIPTextModel(config)], tokens)
    assert counted == pytest.approx(2 * tokens * config.num_hidden_layers * layer / 1e9, rel=0.02)


@pytest.mark.slow
def test_bench_runs_the_shapes_of_the_large_models(measure_small_models, tmp_path):
    measure_small_models(sd15=256, sdxl=512)
    out = tmp_path / "figures.json"
    arguments = ["--backend", "torch", "--precision", "float32", "--repeats", "1", "--reference-repeats", "1", "--json", str(out)]
    assert main(["bench", "sd15", "sdxl", *arguments]) == 0
    rows = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["model"], row["controlled"]) for row in rows] == [
        (name, way) for name in ("sd15", "sdxl") for way in (False, True)
    ]
    assert all(row["speedup"] > 0 and row["new_prompt"] > 0 and min(row["gflop"].values()) > 0 for row in rows)


def test_an_unknown_model_is_refused(capsys):
    assert main(["bench", "sd99"]) == 1
    assert "pocket" in capsys.readouterr().err


def test_generate_writes_images_that_can_be_made_again(settings, tmp_path, monkeypatch, capsys):
    from PIL import Image

    for name in ("assets", "cache", "runs", "styles"):
        monkeypatch.setenv(f"HYPERSD_{name.upper()}", str(getattr(settings, name)))
    sketch = tmp_path / "sketch.png"
    image = Image.new("RGB", (100, 80), "white")
    image.paste("black", (20, 20, 60, 60))
    image.save(sketch)
    first = [
        "generate",
        "a cat",
        "--backend",
        "torch",
        "--count",
        "2",
        "--seed",
        "4",
        "--style",
        "ink:0.5",
        "--sketch",
        str(sketch),
    ]
    assert main([*first, "--output", str(tmp_path / "a")]) == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["a-cat-4.png", "a-cat-5.png"]
    again = ["generate", "--backend", "torch", "--again", str(tmp_path / "a" / "a-cat-5.png"), "-o", str(tmp_path / "b.png")]
    assert main(again) == 0
    one, two = Image.open(tmp_path / "a" / "a-cat-5.png"), Image.open(tmp_path / "b.png")
    worst = max(abs(a - b) for a, b in zip(one.tobytes(), two.tobytes(), strict=True))
    assert worst <= 8, "bfloat16 rounds a batch of two and of one differently, no more"


@pytest.mark.slow
def test_generate_takes_several_seeds(settings, tmp_path, monkeypatch):
    for name in ("assets", "cache", "runs", "styles"):
        monkeypatch.setenv(f"HYPERSD_{name.upper()}", str(getattr(settings, name)))
    assert main(["generate", "a cat", "--backend", "torch", "--seed", "1,5,9", "-o", str(tmp_path / "a")]) == 0
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [f"a-cat-{seed}.png" for seed in (1, 5, 9)]
    assert main(["generate", "a cat", "--backend", "torch", "--seed", "1,5", "-o", str(tmp_path / "b.png")]) == 0
    assert sorted(path.name for path in tmp_path.glob("b*.png")) == ["b-a-cat-1.png", "b-a-cat-5.png"]
    for wrong in ("1,x", "-1", "1,"):
        assert main(["generate", "a cat", "--backend", "torch", f"--seed={wrong}"]) == 1


def test_generate_names_what_is_wrong(settings, monkeypatch, capsys):
    monkeypatch.setenv("HYPERSD_ASSETS", str(settings.assets))
    assert main(["generate", "a cat", "--backend", "torch", "--recipe", "teacher", "--steps", "2"]) == 1
    assert "num_inference_steps" in capsys.readouterr().err
    assert main(["generate", "a cat", "--backend", "torch", "--style", "ink:much"]) == 1


def test_random_weights_go_on_where_the_last_layer_ended():
    block, first, second = torch.arange(5.0), torch.empty(7), torch.empty(4)
    start = repeat_into(first, block, 0)
    assert (first.tolist(), start) == ([0, 1, 2, 3, 4, 0, 1], 2)
    assert repeat_into(second, block, start) == 1
    assert second.tolist() == [2, 3, 4, 0]
