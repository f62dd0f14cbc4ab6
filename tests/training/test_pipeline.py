"""`train all`: stages in order, each with its share of the budget, resumed after a kill at any moment."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import ROOT
from hypersd_app.training import pipeline
from hypersd_app.training.pipeline import PIPELINES, Step, run_all
from hypersd_app.training.stages import STAGES, Stage
from hypersd_app.training.workspace import Workspace
from tests.support.icon_packages import write_all


@pytest.mark.parametrize("preset", PIPELINES)
def test_every_step_exists_and_the_shares_are_the_whole_budget(preset):
    assert all(step.preset in STAGES[step.stage].presets for step in PIPELINES[preset])
    assert sum(step.share for step in PIPELINES[preset]) == pytest.approx(1)
    assert len({step.name for step in PIPELINES[preset]}) == len(PIPELINES[preset])


class Killed(BaseException):
    """What stands for kill -9: nobody catches it."""


@pytest.fixture
def staged(monkeypatch, tmp_path):
    """Three stages that take as long as they are given, by a clock of their own; `staged.dies` kills one while it runs."""
    clock = [0.0]
    monkeypatch.setattr(pipeline.time, "monotonic", lambda: clock[0])

    class Staged:
        def __init__(self):
            self.ran, self.dies = [], ""

        def all(self, minutes):
            return run_all("three", minutes, lambda family: Workspace(tmp_path, tmp_path, family), lambda name: lambda *_: None)

    staged = Staged()

    def stage(name):
        def run(config, workspace, folder, progress):
            given = config.loop.minutes if config else 0.0
            staged.ran.append((name, round(given, 2)))
            for tenth in range(10):
                if staged.dies == name and tenth == 5:
                    staged.dies = ""
                    raise Killed
                clock[0] += 6 * given if given else 1.0
                progress(tenth, 10, {})

        return Stage(name, "", {"p": STAGES["teacher"].presets["tiny"] if name != "data" else None}, run)

    monkeypatch.setattr(pipeline, "STAGES", {name: stage(name) for name in ("data", "first", "second")})
    monkeypatch.setattr(pipeline, "PIPELINES", {"three": (Step("data", "p"), Step("first", "p", 0.25), Step("second", "p", 0.75))})
    return staged


def test_stages_have_their_shares_and_what_is_finished_is_left_alone(staged):
    staged.all(40)
    assert staged.ran == [("data", 0), ("first", 10), ("second", 30)]
    ledger = staged.all(40)
    assert len(staged.ran) == 3
    assert ledger.minutes["second/p"] == pytest.approx(30, rel=0.01)


def test_a_killed_stage_goes_on_with_what_is_left_of_its_share(staged):
    staged.dies = "second"
    with pytest.raises(Killed):
        staged.all(40)
    staged.all(40)
    assert staged.ran[:3] == [("data", 0), ("first", 10), ("second", 30)]
    assert staged.ran[3][0] == "second" and staged.ran[3][1] == pytest.approx(15, abs=0.2)
    assert len(staged.ran) == 4


def test_a_larger_budget_trains_every_stage_on(staged):
    staged.all(40)
    staged.all(80)
    assert staged.ran[3:] == [("first", 10), ("second", 30)]


@pytest.mark.parametrize(
    ("preset", "minutes", "field"), [("nothing", 5, "preset"), ("tiny", 0, "minutes"), ("tiny", float("nan"), "minutes")]
)
def test_what_cannot_be_run_is_named(tmp_path, preset, minutes, field):
    with pytest.raises(InvalidRequest, match=field):
        run_all(preset, minutes, lambda family: Workspace(tmp_path, tmp_path, family), lambda name: lambda *_: None)


@pytest.mark.slow
@pytest.mark.training
def test_all_stages_from_nothing_killed_twice_at_toy_size(tmp_path):
    runs = tmp_path / "runs"
    write_all(runs / "npm")
    command = [sys.executable, "-m", "hypersd_app", "train", "all", "--preset", "tiny", "--minutes", "3", "--threads", "1"]
    environment = {**os.environ, "HYPERSD_RUNS": str(runs), "HYPERSD_STYLES": str(tmp_path / "styles")}
    ledger = runs / "all" / "tiny.json"
    for finished in (2, 5, len(PIPELINES["tiny"])):
        with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, encoding="utf-8") as process:
            deadline = time.monotonic() + 600
            while process.poll() is None and time.monotonic() < deadline and finished_steps(ledger) < finished:
                time.sleep(0.05)
            if finished < len(PIPELINES["tiny"]):
                process.send_signal(signal.SIGKILL)
            _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    assert finished_steps(ledger) == len(PIPELINES["tiny"])
    shipped = {path.parent.name for path in (runs / "assets" / "tiny").rglob("*.safetensors")}
    assert {"unet", "vae", "controlnet", "text_encoder"} <= shipped


def finished_steps(ledger):
    return len(json.loads(ledger.read_text(encoding="utf-8"))["finished"]) if ledger.exists() else 0
