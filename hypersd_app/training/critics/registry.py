"""The rewards by name: trained by a stage of their own, or found in `runs/reward/<name>` where someone put the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.training.core.loop import LoopConfig, Progress
from hypersd_app.training.critics import quality, segmenter
from hypersd_app.training.critics import text_image as judge
from hypersd_app.training.critics.aesthetic import AestheticReward
from hypersd_app.training.critics.agreement import AgreementReward
from hypersd_app.training.critics.image_reward import ImageReward
from hypersd_app.training.critics.protocols import Reward, Segmenter
from hypersd_app.training.critics.quality import QualityConfig, QualityReward
from hypersd_app.training.critics.segmenter import PocketSegmenter, SegmenterConfig
from hypersd_app.training.critics.text_image import JudgeConfig
from hypersd_app.training.data.splits import REWARD
from hypersd_app.training.data.thumbnails import SIDE
from hypersd_app.training.workspace import Workspace

_FEW = LoopConfig(steps=4, warmup=1, log_every=2)
PRESETS: Mapping[str, Any] = {
    "agreement": JudgeConfig(data="pocket", split=REWARD, side=SIDE, seed=11),
    "quality": QualityConfig(),
    "segmenter": SegmenterConfig(),
    "tiny-agreement": JudgeConfig(data="tiny", split=REWARD, side=SIDE, seed=11, batch=8, loop=_FEW),
    "tiny-quality": QualityConfig(data="tiny", batch=8, loop=_FEW),
    "tiny-segmenter": SegmenterConfig(data="tiny", scenes=8, batch=4, loop=_FEW),
}
_FILES = {"agreement": judge.FILE, "quality": quality.FILE, "segmenter": segmenter.FILE}


def train(config: Any, workspace: Workspace, folder: Path, progress: Progress) -> None:
    """Train the reward that the config is of."""
    stages: Mapping[type, Callable[..., None]] = {
        JudgeConfig: judge.train, QualityConfig: quality.train, SegmenterConfig: segmenter.train,
    }  # fmt: skip
    stages[type(config)](config, workspace, folder, progress)


def open_reward(name: str, workspace: Workspace) -> Reward:
    """A reward by name. Raises InvalidRequest for a name nobody knows, ModelUnavailable where its weights are missing."""
    makers: Mapping[str, Callable[[], Reward]] = {
        "agreement": lambda: AgreementReward(trained(name, workspace), workspace.embed),
        "quality": lambda: QualityReward(trained(name, workspace)),
        "aesthetic": lambda: AestheticReward(workspace.run("reward", name)),
        "image-reward": lambda: ImageReward(workspace.run("reward", name)),
    }
    if name not in makers:
        raise InvalidRequest("reward", name, ", ".join(makers))
    return makers[name]()


def open_segmenter(workspace: Workspace) -> Segmenter:
    """The segmenter. Raises ModelUnavailable before it was trained."""
    return PocketSegmenter(trained("segmenter", workspace))


def trained(name: str, workspace: Workspace) -> Path:
    """The weights of a stand-in. Raises ModelUnavailable before it was trained."""
    preset = f"tiny-{name}" if workspace.family == "tiny" else name
    path = workspace.run("reward", preset) / _FILES[name]
    if not path.exists():
        raise ModelUnavailable(f"No {name} reward in {path.parent}: run `train reward --preset {preset}` first.")
    return path
