"""Contact sheets: the 48 prompts by every model, and made images beside their nearest training image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hypersd_app.training.core.contact_sheet import contact_sheet
from hypersd_app.training.core.eval_prompts import EVALUATION_PROMPTS
from hypersd_app.training.evaluation.models import Model
from hypersd_app.training.pocket.teacher import Sampler


def write_sheets(models: Sequence[Model], sampler: Sampler, output: Path, seed: int) -> None:
    """One sheet of the 48 prompts for each model, same seeds throughout."""
    prompts = list(EVALUATION_PROMPTS)
    for model in models:
        images = sampler.decode(model.draw(prompts, seed))
        contact_sheet(list(images), output / f"{model.file_name}.png", labels=prompts, side=150)


def write_nearest(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8], str]], path: Path) -> None:
    """Made and training image side by side, with a label for the first."""
    tiles = [image for made, known, _ in pairs for image in (made, known)]
    labels = [text for _, _, label in pairs for text in (label, "")]
    contact_sheet(tiles, path, columns=12, labels=labels, side=110)
