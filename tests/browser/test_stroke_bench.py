"""The arithmetic of `bench stroke`, without a browser."""

from __future__ import annotations

from hypersd_app.bench.browser.stroke import (
    POINTS,
    StrokeReport,
    board_table,
    editor_table,
    missed,
    on_the_paper,
    replace,
    scripted_strokes,
    spread,
    summary,
)
from hypersd_app.cli import new_parser

BOARD = {
    "moves": [float(at) for at in range(1, 101)],
    "lifts": [50.0, 60.0],
    "images": [25.0, 75.0, 500.0],
    "frames": [[0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [1000.0, 1040.0, 1080.0], [5.0]],
}


def test_the_table_says_what_the_probe_saw() -> None:
    report = summary(2, BOARD)
    assert (report.movement.count, report.movement.p50, report.movement.p95, report.movement.longest) == (100, 50.5, 96.0, 100.0)
    assert (report.frames, report.slowest, report.worst) == (37.5, 25.0, 25.0), (
        "drawn frames a second: 50 and 25; a stroke of one frame has no rate"
    )
    assert round(report.images, 2) == 11.11, "two images while the pen was down for 0.18 s; one came after"
    lines = board_table(report).splitlines()
    assert "worst stroke: 25" in lines[1]
    assert lines[-1].split()[-4:] == ["2", "55", "60", "60"]
    compared = editor_table(replace(report, editor=spread([1100.0])))
    assert "20x sooner" in compared


def measured(moves: list[float], frame: float) -> StrokeReport:
    """A report of one stroke of eleven frames, `frame` ms each."""
    return summary(1, {"moves": moves, "lifts": [50.0], "images": [25.0], "frames": [[frame * i for i in range(11)]]})


def test_the_check_tells_each_bound_that_is_missed() -> None:
    kept = measured([80.0] * 95 + [130.0] * 5, frame=20.0)
    assert (kept.movement.p50, kept.movement.p95, kept.worst) == (80.0, 130.0, 50.0), "just within every bound"
    assert missed(kept) == []
    assert [line.split()[0] for line in missed(measured([81.0] * 100, frame=16.0))] == ["p50"]
    assert [line.split()[0] for line in missed(measured([40.0] * 90 + [131.0] * 10, frame=16.0))] == ["p95"]
    assert missed(measured([40.0], frame=21.0)) == ["47.6 drawn frames/s in the worst stroke, at least 50"]


def test_the_worst_stroke_counts_and_not_the_slowest_twentieth() -> None:
    frames = [[16.0 * i for i in range(11)]] * 99 + [[40.0 * i for i in range(11)]]
    report = summary(100, {"moves": [40.0], "lifts": [50.0], "images": [25.0], "frames": frames})
    assert (report.slowest, report.worst) == (62.5, 25.0)
    assert len(missed(report)) == 1


def test_strokes_are_the_same_every_time_and_on_the_paper() -> None:
    one, other = list(scripted_strokes(5)), list(scripted_strokes(5))
    assert one == other and len(one[0]) == POINTS
    assert all(0 < value < 1 for stroke in one for place in stroke for value in place)


def test_the_command_is_found() -> None:
    arguments = ["bench", "stroke", "--strokes", "3", "--transport", "call"]
    args = new_parser(arguments).parse_args(arguments)
    assert (args.strokes, args.transport, args.check, args.command.__name__) == (3, "call", False, "_stroke_bench")


def test_the_editor_is_drawn_on_within_the_margin_of_its_paper() -> None:
    outermost = [share for places in map(on_the_paper, scripted_strokes(200)) for place in places for share in place]
    assert min(outermost) > 0.08 and max(outermost) < 0.92, "its paper begins 5 to 8 % inside of its canvas"
