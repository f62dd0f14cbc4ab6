"""`train all`: every stage of a model in order, within a budget of minutes, resumed where it was stopped.

Each stage has a share of the budget. How much of it is used stands in a ledger beside the runs, written every few seconds,
so that a kill at any moment loses no more than the stages' own checkpoints do.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hypersd_app.errors import InvalidRequest
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.stages import STAGES, limited
from hypersd_app.training.workspace import Workspace

logger = logging.getLogger(__name__)

WRITTEN_EVERY = 5.0  # seconds between two writes of the ledger
COOLDOWN_SHARE = 0.2  # of a stage's minutes, over which its learning rate falls: what it leaves behind is what comes next's start


@dataclass(frozen=True)
class Step:
    """A stage and preset, and its share of the budget; without a share it takes as long as it takes, as data does."""

    stage: str
    preset: str
    share: float = 0.0

    @property
    def name(self) -> str:
        """How the ledger and the log call it."""
        return f"{self.stage}/{self.preset}"


PIPELINES: Mapping[str, tuple[Step, ...]] = {
    "pocket": (
        Step("data", "pocket"),
        Step("data", "parts"),
        Step("data", "judge"),
        Step("data", "fxemoji"),
        Step("data", "icons"),
        Step("sticker-autoencoder", "pocket", 0.10),
        Step("latents", "pocket"),
        Step("layout", "pocket", 0.05),
        Step("teacher", "pocket", 0.45),
        Step("student", "first", 0.06),
        Step("student", "first-hyper-sd", 0.06),
        Step("sketches", "pocket", 0.06),
        Step("controlnet", "first", 0.03),
        Step("controlnet", "pocket", 0.05),
        Step("style", "blob", 0.01),
        Step("style", "fluent", 0.01),
        Step("style", "flat", 0.01),
        Step("style", "twemoji", 0.01),
        Step("style", "emojione", 0.01),
        Step("judge", "pocket", 0.07),
        Step("style-judge", "pocket", 0.02),
        Step("export", "pocket"),
        Step("vocabulary", "pocket"),
    ),
    "tiny": (
        Step("data", "tiny"),
        Step("autoencoder", "tiny", 0.2),
        Step("latents", "tiny"),
        Step("layout", "tiny", 0.1),
        Step("teacher", "tiny", 0.3),
        Step("student", "tiny", 0.1),
        Step("sketches", "tiny", 0.1),
        Step("controlnet", "tiny", 0.1),
        Step("judge", "tiny", 0.1),
        Step("export", "tiny"),
    ),
}


@dataclass
class Ledger:
    """Minutes used and whether it is finished, by step, kept in a file."""

    path: Path
    minutes: dict[str, float] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)

    @staticmethod
    def open(path: Path) -> Ledger:
        """What an earlier run has written; empty without one."""
        if not path.exists():
            return Ledger(path)
        found = json.loads(path.read_text(encoding="utf-8"))
        return Ledger(path, found["minutes"], set(found["finished"]))

    def write(self) -> None:
        """Replace the file in one rename."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        row = {"minutes": {name: round(used, 3) for name, used in self.minutes.items()}, "finished": sorted(self.finished)}
        partial.write_text(json.dumps(row, indent=1), encoding="utf-8")
        partial.replace(self.path)

    def timed(self, name: str, report: Progress) -> Progress:
        """`report`, and the time since it was last called is put down."""
        last = written = time.monotonic()

        def progress(done: int, total: int, metrics: dict[str, float]) -> None:
            nonlocal last, written
            now = time.monotonic()
            self.minutes[name] = self.minutes.get(name, 0.0) + (now - last) / 60
            last = now
            if now - written >= WRITTEN_EVERY:
                self.write()
                written = now
            report(done, total, metrics)

        return progress


def run_all(preset: str, minutes: float, open_workspace: Callable[[str], Workspace], report: Callable[[str], Progress]) -> Ledger:
    """Run or resume all steps of a pipeline within `minutes` of training in all; returns the ledger.

    `open_workspace(family)` opens the workspace of a step's data, `report(name)` shows a step's progress.
    A larger budget than before goes on with every stage whose share it raises, and with all that comes after.
    Raises InvalidRequest for an unknown preset or no budget, ModelUnavailable as the stages do.
    """
    if preset not in PIPELINES:
        raise InvalidRequest("preset", preset, ", ".join(PIPELINES))
    if not 0 < minutes < 1e6:
        raise InvalidRequest("minutes", minutes, "above 0 and below a million")
    steps = PIPELINES[preset]
    ledger = Ledger.open(open_workspace(preset).runs / "all" / f"{preset}.json")
    for number, step in enumerate(steps, 1):
        left = step.share * minutes - ledger.minutes.get(step.name, 0.0)
        if step.name in ledger.finished and (not step.share or left < COOLDOWN_SHARE * step.share * minutes):
            continue
        ledger.finished -= {later.name for later in steps[number - 1 :]}
        logger.info("%d of %d: %s, %s", number, len(steps), step.name, f"{left:.1f} minutes" if step.share else "to its end")
        if not step.share or left > 0:
            _run(step, left, step.share * minutes, open_workspace, ledger.timed(step.name, report(step.name)))
        ledger.finished.add(step.name)
        ledger.write()
    return ledger


def _run(step: Step, left: float, whole: float, open_workspace: Callable[[str], Workspace], progress: Progress) -> None:
    stage = STAGES[step.stage]
    config = stage.presets[step.preset]
    if step.share:
        config = limited(config, None, left, min(left, COOLDOWN_SHARE * whole))
    workspace = open_workspace(getattr(config, "data", step.preset))
    progress(0, 1, {})
    stage.run(config, workspace, workspace.run(stage.name, step.preset), progress)
    progress(1, 1, {})
