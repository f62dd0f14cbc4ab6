"""The latents stage: every training picture through the frozen autoencoder once, kept as float16 on disk."""

from __future__ import annotations

import numpy as np
import torch

from hypersd_app.distill.previews import from_uint8
from hypersd_app.distill.runs import Progress
from hypersd_app.distill.workspace import Workspace


@torch.no_grad()
def encode_pictures(workspace: Workspace, progress: Progress) -> None:
    """Write the workspace's latents, (N, 16, 16, 16) float16; a finished file is left alone."""
    target, data = workspace.latents_path, workspace.data
    if target.exists():
        return
    autoencoder = workspace.autoencoder.eval().to(memory_format=torch.channels_last)
    partial = target.with_suffix(".partial.npy")
    partial.parent.mkdir(parents=True, exist_ok=True)
    count = len(data.scenes)
    latents = np.lib.format.open_memmap(partial, "w+", np.float16, (count, 16, 16, 16))
    for start in range(0, count, 32):
        pictures = from_uint8(data.pictures[start : start + 32]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = autoencoder.encode(pictures).latent_dist.mode()  # type: ignore[union-attr]
        latents[start : start + 32] = encoded.float().numpy()
        if start % 1024 == 0:
            progress(start, count, {})
    latents.flush()
    partial.rename(target)
