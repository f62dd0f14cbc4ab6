"""The judges that measure everything: trained once, shipped with the images they measure named by a digest, then left alone.

A figure is worth comparing with an earlier one only if both were measured by the same judges on the same images.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hypersd_app.errors import ModelUnavailable
from hypersd_app.training.core.loop import Progress
from hypersd_app.training.critics import style, text_image
from hypersd_app.training.workspace import Workspace

FOLDER = "judges"  # below the shipped weights
MANIFEST = "manifest.json"
FILES = {"judge": text_image.FILE, "style-judge": style.FILE}
DATA = ("judge", "evaluation")  # what the judges learnt from, and what they measure


def judge_file(workspace: Workspace, stage: str) -> Path:
    """The weights of `judge` or `style-judge`: the frozen ones, else this machine's run. Raises ModelUnavailable."""
    frozen = workspace.assets / FOLDER / FILES[stage]
    if frozen.exists():
        _check(workspace)
        return frozen
    return workspace.weights(stage, FILES[stage], FILES[stage])


def freeze(workspace: Workspace, progress: Progress) -> None:
    """Ship this machine's judges in float16, and write down which images belong to them.

    Raises ModelUnavailable before both were trained, or when others are frozen already: replacing them makes every
    earlier figure worthless, so whoever means it removes the folder.
    """
    target = workspace.assets / FOLDER
    if (target / MANIFEST).exists():
        raise ModelUnavailable(f"Judges are frozen in {target}: figures measured by them could not be compared with new ones.")
    sources = {stage: workspace.weights(stage, file, file) for stage, file in FILES.items()}
    target.mkdir(parents=True, exist_ok=True)
    for number, (stage, source) in enumerate(sources.items(), 1):
        with safe_open(source, "pt") as file:
            tensors = {name: file.get_tensor(name).to(torch.float16) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        save_file(tensors, target / FILES[stage], metadata)
        progress(number, len(sources), {})
    images = {name: digest(workspace, name) for name in DATA if (workspace.run("data", name) / "config.json").exists()}
    (target / MANIFEST).write_text(json.dumps({"images": images}, indent=1) + "\n", encoding="utf-8")


def digest(workspace: Workspace, name: str) -> str:
    """What a data set shows, as a SHA-256 of its plan: drawings, places and colours, from which its images are rendered."""
    folder = workspace.images(name).folder
    rows = [(folder / file).read_bytes() for file in ("concepts.jsonl", "scenes.jsonl")]
    return hashlib.sha256(b"\0".join(rows)).hexdigest()


def _check(workspace: Workspace) -> None:
    """Raises ModelUnavailable where the images to measure on are others than the judges were frozen with."""
    known = json.loads((workspace.assets / FOLDER / MANIFEST).read_text(encoding="utf-8"))["images"]
    if "evaluation" in known and digest(workspace, "evaluation") != known["evaluation"]:
        raise ModelUnavailable(
            f"The evaluation images in {workspace.run('data', 'evaluation')} are not those that the judges were frozen with: "
            "the icon packages or the code that composes have changed, so figures would not compare with earlier ones."
        )
