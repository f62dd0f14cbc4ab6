"""Published weights, which are pickles, as the safetensors files that training and evaluation read."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from hypersd_app.errors import InvalidRequest, ModelUnavailable
from hypersd_app.training.critics import aesthetic, image_reward, mask_rcnn
from hypersd_app.training.evaluation.photo import inception
from hypersd_app.training.workspace import Workspace

# Name: (folder in runs/reward, file there, what the published file is called).
TARGETS: Mapping[str, tuple[str, str, str]] = {
    "aesthetic": ("aesthetic", aesthetic.HEAD, "sac+logos+ava1-l14-linearMSE.pth"),
    "image-reward": ("image-reward", image_reward.WEIGHTS, "ImageReward.pt"),
    "mask-rcnn": ("instances", mask_rcnn.WEIGHTS, "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"),
    "inception": ("inception", inception.WEIGHTS, "pt_inception-2015-12-05-6726825d.pth"),
}


def convert(name: str, source: Path, workspace: Workspace) -> Path:
    """Write `source`'s tensors where `name` is looked for; tensors alone are unpickled, no code. Raises InvalidRequest."""
    if name not in TARGETS:
        raise InvalidRequest("weights", name, ", ".join(TARGETS))
    folder, file, called = TARGETS[name]
    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidRequest("source", str(source), f"a readable file such as {called}") from error
    tensors = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(tensors, dict) or not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelUnavailable(f"{source} holds no named tensors; {name} is published as {called}.")
    target = workspace.run("reward", folder) / file
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, partial)
    return partial.replace(target)
