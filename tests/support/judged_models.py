"""A workspace in which everything that judges has been trained for a few steps."""

import shutil

from hypersd_app.training.critics import registry
from hypersd_app.training.critics import style as style_judge
from hypersd_app.training.critics import text_image as judge
from hypersd_app.training.data import dataset
from hypersd_app.training.workspace import Workspace
from tests.support import tiny_models
from tests.support.icon_packages import write_all
from tests.support.made_once import made_once


def no_progress(done, total, metrics):
    """Training reports to nobody here."""


def judged_workspace(base, runs):
    """Random models, images of four things in two sets, judges and rewards of a few steps; the caller's own in `runs`.

    To train the judges takes longer than most of what is asked of them: they are trained once below `base`, which all tests
    share, and copied.
    """
    shutil.copytree(made_once(base, "judged", make), runs, dirs_exist_ok=True)
    return opened(runs)


def opened(runs):
    return Workspace(runs, runs / "assets" / "tiny", "tiny")


def make(runs):
    write_all(runs / "npm")
    tiny_models.write_pocket(runs / "assets" / "tiny")
    made = opened(runs)
    dataset.build(dataset.PRESETS["tiny"], made.run("data", "tiny"), made.packages)
    judge.train(judge.PRESETS["tiny"], made, made.run("judge", "tiny"), no_progress)
    style_judge.train(style_judge.PRESETS["tiny"], made, made.run("style-judge", "tiny"), no_progress)
    for name in ("agreement", "quality", "segmenter"):
        registry.train(registry.PRESETS[f"tiny-{name}"], made, made.run("reward", f"tiny-{name}"), no_progress)
    for run in (made.run("judge", "tiny"), made.run("reward", "tiny-agreement")):
        (run / "checkpoint.safetensors").unlink()  # half of the folder, and nobody goes on with them
