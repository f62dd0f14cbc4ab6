"""What a row is measured by, without networks: figures of all images, and of the parts that the comparisons draw from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hypersd_app.training.evaluation.distances import kernel_distance
from hypersd_app.training.study import measure
from hypersd_app.training.study.config import NAMED_STEPS, PRESETS, TEACHER, named_comparisons, row_key
from hypersd_app.training.study.measure import Measure
from hypersd_app.training.study.report import Results, comparisons
from hypersd_app.training.study.rows import Row, Rows

IMAGES = 50


@pytest.fixture
def measuring(monkeypatch):
    """A Measure whose images are their own features, drawn from `prompts` and the noise's number."""
    found = Measure.__new__(Measure)
    rng = np.random.default_rng(0)
    found.config = SimpleNamespace(diversity_seeds=2, guidance_scale=3.0)
    found.proxy = SimpleNamespace(captions=[f"{i}" for i in range(IMAGES)])
    found.sampler = SimpleNamespace(decode=lambda latents: latents.numpy())
    found.judge = SimpleNamespace(hits=lambda *_: np.ones(IMAGES))
    found.plain, found.names, found.diverse = found.proxy.captions, found.proxy.captions, ["0", "0", "1", "1"]
    found.spaces = lambda images: {"what": images, "how": images[:, :3]}
    found.reference = {"what": rng.normal(size=(64, 6)), "how": rng.normal(size=(64, 3))}

    class Drawing:
        def __init__(self, _):
            pass

        def latents(self, shift, prompts, steps, first, eta, start):
            generator = torch.Generator().manual_seed(first + steps)
            return torch.randn(len(prompts), 6, generator=generator, dtype=torch.float64) + shift

    monkeypatch.setattr(measure, "FewStepSampler", Drawing)
    return found


def test_parts_of_the_prompts_are_measured_beside_the_whole(measuring):
    figures, parts = measuring.student(0.5, 1.0, -1, 0)
    assert set(figures) == set(parts) == {"1", "2", "4", "8"}
    assert len(parts["4"]) == 20 and np.mean(parts["4"]) == pytest.approx(figures["4"]["kernel_what"], abs=0.3)
    made = measure.FewStepSampler(None).latents(0.5, measuring.proxy.captions, 4, 50_000, 1.0, -1).numpy()
    assert figures["4"]["kernel_what"] == pytest.approx(kernel_distance(made, measuring.reference["what"]))
    assert parts["4"][-1] == pytest.approx(kernel_distance(made[-2:], measuring.reference["what"]))


def test_what_is_measured_fills_the_named_comparisons(measuring, tmp_path):
    config, rows = PRESETS["pocket"], Rows(tmp_path / "study.json")
    for seed in range(3):
        rows.add(Row(row_key(config, TEACHER), "b", TEACHER, seed, {"25": {}}))
        for name, shift in (("hyper-sd", 0.0), ("lcm", 2.0)):
            figures, parts = measuring.student(shift, 1.0, -1, seed)
            rows.add(Row(row_key(config, name), "b", name, seed, figures, blocks=parts))
    found = comparisons({"pocket": Results(config, rows)})
    assert len(found) == len(NAMED_STEPS) and ("lcm", 1) in named_comparisons()
    assert all(each.difference < 0 and each.high < 0 for each in found)
