"""The checks of a card, at toy size on the CPU: every row is there, and what fails is told."""

from __future__ import annotations

import json

import pytest

from hypersd_app.bench import card
from hypersd_app.cli import main


def test_every_check_of_a_card_runs(measure_small_models, tmp_path, capsys):
    measure_small_models(pocket=256, sd15=256)
    out = tmp_path / "card.json"
    arguments = ["--backend", "torch", "--precision", "float32", "--repeats", "1", "--models", "sd15", "--json", str(out)]
    assert main(["bench", "card", *arguments]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["card"] and told["torch"]
    row = told["models"]["sd15"]
    assert row["milliseconds"]["total"] > 0 and row["plain_milliseconds"] > 0 and row["peak_memory"] > 0
    assert set(row["images_per_second"]) == {"1", "2", "4"} and all(rate > 0 for rate in row["images_per_second"].values())
    assert row["style_switch_milliseconds"] > 0
    assert "sd15" in capsys.readouterr().out


def test_what_has_no_time_left_is_left_out_and_said():
    told = card.Checks(seconds=0.0)
    told.run("sd15", lambda: pytest.fail("not begun"))
    assert told.found["sd15"] == {"left out": "no time left"}


def test_what_fails_is_told_and_the_others_run():
    def fails() -> dict[str, object]:
        raise RuntimeError("no kernel image")

    told = card.Checks(seconds=60.0)
    told.run("sdxl", fails)
    told.run("sd15", lambda: {"total": 1.0})
    assert told.found == {"sdxl": {"error": "RuntimeError: no kernel image"}, "sd15": {"total": 1.0}}
