"""`python -m hypersd_app train`: run, resume or just describe a training stage."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict

from hypersd_app.errors import InvalidRequest
from hypersd_app.settings import Settings

logger = logging.getLogger(__name__)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train`. Stage names are checked when it runs, so that `--help` needs no torch."""
    parser.add_argument("stage", help="data, autoencoder, latents, teacher, student, controlnet or export")
    parser.add_argument("--preset", default="pocket", help="a row of the stage's presets (default: pocket)")
    parser.add_argument("--dry-run", action="store_true", help="print the config and the folder, train nothing")
    parser.add_argument("--steps", type=int, help="train to this step instead of the preset's last")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes; the same command resumes")
    parser.add_argument("--threads", type=int, default=0, help="processor threads (default: all)")


def run_train(args: argparse.Namespace, settings: Settings) -> int:
    """Run one stage; returns the exit status. Raises InvalidRequest and ModelUnavailable."""
    import torch

    from hypersd_app.distill.stages import STAGES, limited
    from hypersd_app.distill.workspace import Workspace

    if args.stage not in STAGES:
        raise InvalidRequest("stage", args.stage, ", ".join(STAGES))
    stage = STAGES[args.stage]
    if args.preset not in stage.presets:
        raise InvalidRequest("preset", args.preset, ", ".join(stage.presets))
    config = limited(stage.presets[args.preset], args.steps, args.minutes)
    family = getattr(config, "data", args.preset)
    assets = settings.assets / "pocket" if family == "pocket" else settings.runs / "assets" / family
    workspace = Workspace(settings.runs, assets, family)
    folder = workspace.run(stage.name, args.preset)
    if args.dry_run:
        print(json.dumps({"stage": stage.name, "folder": str(folder), "config": asdict(config)}, indent=2, default=str))
        return 0
    if args.threads:
        torch.set_num_threads(args.threads)
    stage.run(config, workspace, folder, ProgressLine(f"{stage.name}/{args.preset}"))
    logger.info("%s finished: %s", stage.name, folder)
    return 0


class ProgressLine:
    """A progress bar that shows the last metrics."""

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(desc=title, unit="step", mininterval=2.0)

    def __call__(self, done: int, total: int, metrics: dict[str, float]) -> None:
        self._bar.total = total
        self._bar.n = done
        shown = {name: f"{value:.4g}" for name, value in metrics.items() if name not in ("step", "pictures")}
        self._bar.set_postfix(shown, refresh=True)


