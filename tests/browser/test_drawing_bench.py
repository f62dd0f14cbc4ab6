"""`bench drawing`: the hand, the arithmetic, and a short run in which nothing of the page grows without bound."""

from __future__ import annotations

from itertools import islice

import pytest

from hypersd_app.bench.browser.devtools import open_tab
from hypersd_app.bench.browser.drawing import ACTS, WEIGHTS, Drawn, Sample, hand, measure_drawing, perform, sample, table
from hypersd_app.cli import new_parser
from tests.support.studio import Served


def test_the_hand_is_the_same_for_the_same_seed_and_does_everything() -> None:
    one, other, third = (list(islice(hand(seed), 400)) for seed in (1, 1, 2))
    assert one == other != third
    assert {act for act, _ in one} == set(WEIGHTS)
    assert sum(act == "stroke" for act, _ in one) > 150


def line(heap: float, minutes: int = 20) -> Drawn:
    """A run whose heap grows by `heap` MB a minute."""
    rows = [Sample(minute, 16.7, 17.0, 40 + heap * minute + 0.1 * (minute % 2), 2000, 300) for minute in range(minutes + 1)]
    return Drawn({"stroke": 100}, rows)


def test_growth_is_told_with_its_interval_and_noise_is_none() -> None:
    growing, flat = line(1.0), line(0.0)
    assert growing.slopes["heap_mb"].an_hour == pytest.approx(60, rel=0.05)
    assert [words.split()[0] for words in growing.growing] == ["heap_mb"]
    assert flat.growing == []
    text = table(growing)
    assert "100 × stroke" in text and "heap_mb: +59.9" in text and "±" in text


def test_the_command_is_found() -> None:
    arguments = ["bench", "drawing", "--minutes", "2", "--check"]
    args = new_parser(arguments).parse_args(arguments)
    assert (args.minutes, args.check, args.command.__name__) == (2.0, True, "_drawing_bench")


@pytest.mark.browser
def test_a_short_drawing_does_all_and_keeps_the_page_small(studio: Served) -> None:
    with open_tab() as tab:
        drawn = measure_drawing(tab, studio.address, minutes=0.15, samples=3)
        assert drawn.acts["stroke"] > 0 and len(drawn.samples) >= 2
        for act in (*WEIGHTS, "stroke"):
            perform(tab, act, [(0.4, 0.4), (0.6, 0.5), (0.5, 0.6)])
        tools = tab.evaluate("() => [hypersd.board.drawing.operations.map((step) => step.tool), hypersd.board.tools.tool]")
        assert "clear" in tools[0] and tools[1] == "brush"
        before = sample(tab, 1.0)
        for act, places in islice((each for each in hand(3) if each[0] in ACTS), 200):
            perform(tab, act, places)
        after = sample(tab, 2.0)
    assert after.heap_mb - before.heap_mb < 20, "MB after 200 acts"
    assert after.nodes - before.nodes < 2000 and after.listeners - before.listeners < 400
