"""Named comparisons: the bootstrap sees real differences and no others, Holm by hand."""

import numpy as np
import pytest

from hypersd_app.training.study.comparisons import corrected_together, holm, paired_bootstrap, prompt_blocks
from hypersd_app.training.study.config import PRESETS, TEACHER, VARIANTS, named_comparisons, row_key
from hypersd_app.training.study.report import Results, comparison_table, comparisons
from hypersd_app.training.study.rows import Row, Rows


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_pairs_cancel_what_seeds_and_prompts_have_in_common():
    rng = np.random.default_rng(0)
    common = rng.normal(0, 5, (5, 1)) + rng.normal(0, 5, (1, 20))
    worse = paired_bootstrap("x", common + rng.normal(0, 0.1, (5, 20)), common + 0.5)
    assert worse.difference == pytest.approx(-0.5, abs=0.05) and worse.low < -0.5 < worse.high < 0 and worse.p < 0.001
    same = [paired_bootstrap("x", rng.normal(0, 1, (5, 20)), rng.normal(0, 1, (5, 20)), seed).p for seed in range(60)]
    assert sum(p < 0.05 for p in same) <= 8, "about three of sixty at most, by chance"


def test_comparisons_not_run_yet_count_in_the_correction():
    found = [paired_bootstrap("x", np.zeros((5, 20)), np.ones((5, 20)))]
    (alone,), (of_many,) = corrected_together(found, 1), corrected_together(found, 24)
    assert of_many.corrected == pytest.approx(24 * alone.corrected) and of_many.verdict == "better"


def test_every_prompt_lies_in_one_block():
    for count in (7, 20, 128, 2000):
        covered = [place for rows in prompt_blocks(count) for place in range(rows.start, rows.stop)]
        assert covered == list(range(count))


def test_the_report_compares_what_was_named_and_nothing_else(tmp_path):
    assert len(named_comparisons()) * 2 == 24
    config, rows = PRESETS["pocket"], Rows(tmp_path / "study.json")
    assert len(config.seeds) == 5 and config.pictures == 2000 and set(config.variants) == {"hyper-sd", *dict(named_comparisons())}
    figures = {"kernel_what": 0.1}
    for seed in range(3):
        rows.add(Row(row_key(config, TEACHER), "b", TEACHER, seed, {"25": figures}))
        for name, value in (("hyper-sd", 0.1), ("lcm", 0.4), ("tscd", 0.1)):
            blocks = {str(steps): [value + 0.01 * part for part in range(20)] for steps in (1, 2, 4, 8)}
            rows.add(Row(row_key(config, name), "b", name, seed, {"1": figures}, blocks=blocks))
    studies = {"pocket": Results(config, rows)}
    verdicts = {each.title: each.verdict for each in comparisons(studies)}
    assert verdicts == {
        f"pocket: {VARIANTS[name].title}, {steps}": verdict
        for name, verdict in (("lcm", "better"), ("tscd", "not told apart"))
        for steps in ("1 step", "4 steps")
    }
    assert "all 24" in comparison_table(studies) and "4 are there" in comparison_table(studies)
