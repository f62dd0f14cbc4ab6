"""The stage: proxy and teacher once, then block after block, as long as there is time; the same command goes on."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from hypersd_app.training.core.distributed import Processes
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.critics.frozen import judge_file
from hypersd_app.training.critics.registry import open_reward, open_segmenter, trained
from hypersd_app.training.study.block import Block
from hypersd_app.training.study.clock import Clock
from hypersd_app.training.study.config import TEACHER, StudyConfig, teacher_key
from hypersd_app.training.study.measure import Measure
from hypersd_app.training.study.proxy import Proxy, train_teacher
from hypersd_app.training.study.report import write
from hypersd_app.training.study.rows import Rows, block_stamp
from hypersd_app.training.workspace import Workspace

logger = logging.getLogger(__name__)


def train(config: StudyConfig, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Run or resume what the config asks for; unfinished runs stay in `folder`.

    Finished rows go to `study.json` in the workspace's `evaluation` folder, with `study.md` and `study.png` beside it.
    Raises ModelUnavailable before it trains anything where judges or rewards are missing.
    """
    clock = Clock(config.minutes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    proxy = Proxy.of(config, workspace.data)
    measure = Measure(config, proxy, workspace)
    rewards = _check_rewards(config, workspace)
    teacher = train_teacher(config, proxy, workspace, folder / f"teacher-{teacher_key(config)}", progress, clock)
    if teacher is None:
        logger.info("time is over, the proxy's teacher is not finished; the same command goes on")
        return
    stamp = block_stamp([teacher, *_judges(workspace), *rewards])
    evaluation = workspace.assets / "evaluation"
    rows, processes = Rows(evaluation / "study.json"), Processes.open()
    names = (TEACHER, *config.variants)
    blocks = [
        Block(
            config=config,
            seed=seed,
            stamp=stamp,
            proxy=proxy,
            workspace=workspace,
            teacher_path=teacher,
            measure=measure,
            rows=rows,
            processes=processes,
            folder=folder / stamp,
            progress=progress,
            clock=clock,
        )
        for seed in config.seeds
    ]
    if not all(block.run(name) for block in blocks for name in names):
        logger.info("time is over; the same command goes on")
    write(config, rows, evaluation / ("study" if folder.name == workspace.family else f"study-{folder.name}"))


def _judges(workspace: Workspace) -> list[Path]:
    judges = [judge_file(workspace, name) for name in ("judge", "style-judge")]
    return [*judges, workspace.weights("autoencoder", "model", "vae")]


def _check_rewards(config: StudyConfig, workspace: Workspace) -> list[Path]:
    """The files of all rewards of the study. Raises ModelUnavailable: now, not hours later when the first run needs one.

    They are wanted even for variants without feedback: a block is told by them, whichever of its rows are trained first.
    """
    names = [name for name, _ in config.feedback.rewards]
    for name in names:
        open_reward(name, workspace)
    if config.feedback.structure:
        open_segmenter(workspace)
        names.append("segmenter")
    return [trained(name, workspace) for name in names]
