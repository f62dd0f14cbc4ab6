"""The tools of a drawing program, with real pointers: areas, shapes, selections, layers, touch; and what the model gets of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.support.board_page import BoardPage
from tests.support.pen import Hands
from tests.support.studio import Served

pytestmark = pytest.mark.browser
RED = "#d6342c"
BOX = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2))

# The colour at a place (0..1) of what the screen shows of the ink layers, as [r, g, b, a].
COLOR = """([x, y]) => { const { layers } = hypersd.board.paper;
    const { data } = layers.pixels(hypersd.board.drawing.document, 512);
    const at = 4 * (Math.floor(y * 512) * 512 + Math.floor(x * 512)); return [...data.slice(at, at + 3)]; }"""
ELEMENTS = "hypersd.board.drawing.document.entries.map(({ element }) => element)"


@pytest.fixture
def board(studio: Served, visitor: Callable[..., BoardPage]) -> BoardPage:
    """A board with touch, ready to draw."""
    opened = visitor(studio.address, has_touch=True).open()
    opened.value("hypersd.board.strip.element.remove()")  # the style strip asks on its own while idle
    opened.page.locator(".hs-paper").focus()
    return opened


def press(board: BoardPage, *keys: str) -> None:
    for key in keys:
        board.page.keyboard.press(key)


def click(board: BoardPage, x: float, y: float) -> None:
    board.page.mouse.click(*board.point(x, y))


def color(board: BoardPage, x: float, y: float) -> list[int]:
    found: list[int] = board.page.evaluate(COLOR, [x, y])
    return found


def elements(board: BoardPage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board.value(ELEMENTS)
    return found


def control(studio: Served) -> np.ndarray:
    """What the ControlNet read last."""
    image = studio.engine.requests[-1].control
    assert image is not None
    return np.asarray(image.image)


def test_a_bucket_fills_what_lines_enclose_and_the_model_gets_the_area(board: BoardPage, studio: Served) -> None:
    board.stroke(*BOX)
    board.settle()
    assert not control(studio)[128, 128].any()
    press(board, "2", "f")
    click(board, 0.5, 0.5)
    board.settle()
    assert color(board, 0.5, 0.5) == [0xD6, 0x34, 0x2C]
    assert color(board, 0.1, 0.1) == [255, 255, 255]
    assert elements(board)[-1]["layer"] == "color"
    inside = control(studio)[60:196, 60:196]
    assert inside.max(-1).min() > 200, "an area of ink, not its outline"
    press(board, "3")
    click(board, 0.2, 0.5)
    assert elements(board)[0]["color"] == "#ee8a1d", "a line gets the colour itself"
    press(board, "Control+z", "Control+z")
    board.settle()
    assert not control(studio)[128, 128].any()


def test_shapes_by_dragging_with_shift_even(board: BoardPage) -> None:
    press(board, "u")
    board.stroke((0.1, 0.1), (0.4, 0.3))
    press(board, "u")
    board.page.keyboard.down("Shift")
    board.stroke((0.5, 0.5), (0.9, 0.7))
    board.page.keyboard.up("Shift")
    press(board, "u")
    for place in ((0.2, 0.6), (0.4, 0.6), (0.3, 0.9), (0.2, 0.6)):
        click(board, *place)
    press(board, "u")
    board.stroke((0.6, 0.1), (0.9, 0.3))
    rectangle, circle, polygon, line = elements(board)
    assert [len(each["points"]) // 3 for each in (rectangle, circle, polygon, line)] == [4, 72, 3, 2]
    assert [each["closed"] for each in (rectangle, circle, polygon, line)] == [True, True, True, False]
    xs, ys = circle["points"][0::3], circle["points"][1::3]
    assert max(xs) - min(xs) == pytest.approx(max(ys) - min(ys), abs=1)
    ink = board.ink()
    board.value("hypersd.board.paper.repaint()")
    assert board.ink() == ink, "what was painted while dragging is what is there"
    press(board, "b")
    board.page.keyboard.down("Shift")
    board.stroke((0.1, 0.95), (0.5, 0.96))
    board.page.keyboard.up("Shift")
    points = elements(board)[-1]["points"]
    assert points[1] == pytest.approx(points[4], abs=0.5), "straight"


def test_closed_strokes_are_filled_on_demand(board: BoardPage) -> None:
    board.stroke(*BOX)
    assert color(board, 0.5, 0.5) == [255, 255, 255]
    press(board, "Control+z", "x", "2")
    board.stroke(*BOX)
    assert color(board, 0.5, 0.5) == [0xD6, 0x34, 0x2C]
    board.stroke((0.1, 0.9), (0.9, 0.95))
    assert [bool(each.get("fill")) for each in elements(board)] == [True, False], "an open one encloses nothing"


def test_the_eyedropper_takes_colours_from_paper_and_image(board: BoardPage) -> None:
    press(board, "2", "x")
    board.stroke(*BOX)
    press(board, "4", "i")
    click(board, 0.5, 0.5)
    assert board.value("[hypersd.board.tools.color, hypersd.board.tools.tool]") == [RED, "brush"]
    press(board, "4")
    board.page.keyboard.down("Alt")
    click(board, 0.5, 0.5)
    board.page.keyboard.up("Alt")
    assert board.value("hypersd.board.tools.color") == RED
    board.settle()
    press(board, "i")
    board.page.locator(".hs-picture").click(position={"x": 40, "y": 40})
    assert board.value("hypersd.board.tools.tool") == "brush"
    picked = board.value("hypersd.board.tools.color")
    assert picked in board.value("[...document.querySelectorAll('.hs-ink-button')].map((each) => each.dataset.color)"), "and kept"


def test_white_ink_covers_what_the_model_sees(board: BoardPage, studio: Served) -> None:
    press(board, "2", "x")
    board.stroke(*BOX)
    board.settle()
    assert control(studio)[128, 128].any()
    press(board, "9")
    board.stroke((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6), (0.4, 0.4))
    board.settle()
    assert not control(studio)[128, 128].any() and control(studio)[70, 70].any()


def test_strokes_are_selected_moved_scaled_turned_copied_and_removed(board: BoardPage, studio: Served) -> None:
    board.stroke((0.2, 0.2), (0.4, 0.2))
    board.stroke((0.2, 0.8), (0.4, 0.8))
    press(board, "v")
    click(board, 0.3, 0.2)
    box = board.page.locator(".hs-selection")
    expect(box).to_be_visible()
    board.pen_down(0.3, 0.2)
    board.pen_to(0.6, 0.5)
    assert board.value("hypersd.board.drawing.operations.length") == 2, "it is not kept before the pen is up"
    board.wait_for("hypersd.board.link.idle && !hypersd.board.link.wanted")
    assert control(studio)[125:131, 150:155].any(), "and the model follows meanwhile"
    board.pen_up()
    first, second = elements(board)
    assert first["matrix"] == pytest.approx([1, 0, 0, 1, 307, 307], abs=3) and "matrix" not in second
    wide = box.bounding_box()
    corner = box.locator("i").nth(2).bounding_box()
    assert wide is not None and corner is not None
    board.page.mouse.move(corner["x"] + 7, corner["y"] + 7)
    board.page.mouse.down()
    board.page.mouse.move(wide["x"] + wide["width"] * 1.5, wide["y"] + wide["height"] * 1.5, steps=5)
    board.page.mouse.up()
    assert elements(board)[0]["matrix"][0] == pytest.approx(2, abs=0.2)
    press(board, "Control+d", "Delete", "Control+z", "Control+z", "ArrowLeft")
    assert len(elements(board)) == 2
    press(board, "Control+a", "Delete")
    assert elements(board) == []
    press(board, *["Control+z"] * 4)
    assert "matrix" not in elements(board)[0], "undo runs through it all"


def test_what_was_rubbed_out_of_a_thing_goes_with_it(board: BoardPage) -> None:
    board.stroke((0.2, 0.2), (0.6, 0.2))
    press(board, "e")
    click(board, 0.4, 0.2)
    press(board, "v")
    click(board, 0.25, 0.2)
    board.stroke((0.25, 0.2), (0.25, 0.6))
    assert color(board, 0.4, 0.6) == [255, 255, 255] and color(board, 0.25, 0.6) != [255, 255, 255]


def test_layers_are_hidden_faded_and_ordered_and_undo_runs_across(board: BoardPage, studio: Served) -> None:
    board.stroke(*BOX)
    press(board, "2", "f")
    click(board, 0.5, 0.5)
    board.page.get_by_role("button", name="Layers").click()
    given = board.page.locator(".hs-given")
    expect(given).to_have_attribute("src", re.compile("blob:"))
    board.page.get_by_role("button", name="Show Colour").click()
    assert color(board, 0.5, 0.5) == [255, 255, 255]
    board.settle()
    assert not control(studio)[128, 128].any(), "what is hidden is not given to the model"
    board.page.get_by_role("button", name="Move Colour up").click()
    board.page.get_by_role("button", name="Show Colour").click()
    assert board.value("[...document.querySelectorAll('.hs-layers li')].map((each) => each.dataset.layer)") == [
        "color",
        "lines",
        "reference",
    ]
    assert color(board, 0.2066, 0.5)[0] > 180, "colour over the line's inner half"
    press(board, *["Control+z"] * 3)
    assert board.value("hypersd.board.drawing.document.layers.order") == ["reference", "color", "lines"]
    board.page.get_by_role("button", name="Colour", exact=True).click()
    press(board, "Escape")
    board.stroke((0.1, 0.9), (0.3, 0.9))
    assert elements(board)[-1]["layer"] == "color"
    reloaded = elements(board)
    board.value("hypersd.board.drawing.saveNow()")
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board && hypersd.board.image")
    assert elements(board) == reloaded


def test_a_drawing_with_layers_comes_back_from_its_png(board: BoardPage, studio: Served) -> None:
    board.stroke(*BOX)
    press(board, "2", "f")
    click(board, 0.5, 0.5)
    board.page.get_by_role("button", name="Layers").click()
    board.page.get_by_role("button", name="Show Lines").click()
    board.settle()
    before = elements(board)
    press(board, "Escape")
    with board.page.expect_download() as saving:
        board.page.locator('[data-act="save"]').click()
    made = control(studio)
    press(board, "Delete")
    png = {"name": "saved.png", "mimeType": "image/png", "buffer": saving.value.path().read_bytes()}
    board.page.locator(".hs-header .hs-file").set_input_files(png)
    board.wait_for("hypersd.board.drawing.document.entries.length > 0")
    found = [{key: value for key, value in each.items() if key != "group"} for each in elements(board)]
    assert found == before
    assert board.value("hypersd.board.drawing.document.layers.shown.lines") is False
    board.settle()
    assert (control(studio) == made).all()


def test_two_fingers_undo_three_redo_and_a_long_press_takes_the_colour(board: BoardPage) -> None:
    hands = Hands(board)
    press(board, "2", "x")
    board.stroke(*BOX)
    press(board, "5")
    board.stroke((0.1, 0.9), (0.9, 0.9))
    for count, left in ((2, 1), (2, 0), (3, 1), (3, 2)):
        places, begun = [(0.3 + 0.2 * i, 0.4) for i in range(count)], time.time()
        for fingers in range(1, count + 1):
            hands.fingers("Start", *places[:fingers], at=begun + 0.02 * fingers)
        hands.fingers("End", at=begun + 0.1)
        board.wait_for(f"hypersd.board.drawing.document.entries.length === {left} && !hypersd.board.paper.touch.fingers.size")
    hands.fingers("Start", (0.5, 0.5))
    board.wait_for(f"hypersd.board.tools.color === '{RED}'")
    hands.fingers("End")
    board.wait_for("hypersd.board.drawing.growing === null && !hypersd.board.paper.held")
    assert len(elements(board)) == 2 and board.value("hypersd.board.tools.tool") == "brush"
    assert board.errors == []


def test_pressure_and_steadiness_are_the_hands_own(board: BoardPage) -> None:
    hands = Hands(board)

    def pen_stroke() -> list[float]:
        hands.pen("Pressed", 0.2, 0.5, 0.4)
        for i in range(1, 9):
            hands.pen("Moved", 0.2 + 0.05 * i, 0.5 + (0.02 if i % 2 else -0.02), 0.4)
        hands.pen("Released", 0.6, 0.48, 0)
        board.wait_for("hypersd.board.drawing.growing === null")
        found: list[float] = elements(board)[-1]["points"]
        return found

    usual = pen_stroke()
    assert max(usual[2::3]) == pytest.approx(0.4, abs=0.01)
    board.page.get_by_role("button", name="Options of the tools").click()
    for name, value in (("soft", "1"), ("steady", "0.8")):
        board.page.locator(f'[data-brush="{name}"]').fill(value)
    board.page.locator(".hs-paper").focus()
    press(board, "Escape")
    steady = pen_stroke()
    assert max(steady[2::3]) == pytest.approx(0.4**0.5, abs=0.02)
    assert np.ptp(steady[10:-12:3]) < 0.6 * np.ptp(usual[10::3]), "it shakes less"
    assert steady[-3] == pytest.approx(usual[-3], abs=3), "and arrives"


def test_undo_and_redo_grey_where_they_would_do_nothing(board: BoardPage) -> None:
    undo, redo = (board.page.locator(f'[data-act="{name}"]') for name in ("undo", "redo"))
    expect(undo).to_have_attribute("aria-disabled", "true")
    board.stroke((0.2, 0.2), (0.4, 0.2))
    expect(undo).to_have_attribute("aria-disabled", "false")
    expect(redo).to_have_attribute("aria-disabled", "true")
    undo.click()
    expect(redo).to_have_attribute("aria-disabled", "false")


def test_drawings_made_before_there_were_layers_open(board: BoardPage) -> None:
    stroke = {"tool": "brush", "color": "#22252b", "size": 18, "symmetry": 1, "points": [100, 100, 0.5, 300, 300, 0.5]}
    old = json.dumps([stroke, {**stroke, "tool": "eraser", "size": 40, "symmetry": 0, "points": [200, 200, 0.5]}])
    board.page.evaluate(
        """(old) => { for (const each of [localStorage, sessionStorage]) each.setItem('hypersd.drawing', old);
            hypersd.board.drawing.savedRevision = hypersd.board.drawing.revision; }""",
        old,
    )
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board && hypersd.board.image")
    assert [each["tool"] for each in elements(board)] == ["brush", "eraser"]
    assert board.ink() > 500
    assert color(board, 200 / 1024, 200 / 1024) == [255, 255, 255]
