"""What hands do at the drawing board: pen, fingers, mouse wheel and keys, and what an image brings onto the paper."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw, ImageOps
from playwright.sync_api import expect

from tests.support.board_page import WAIT, BoardPage, next_frame, still
from tests.support.pen import Hands
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]

# Pixels of the ink that differ from those at their mirrored place by more than rounding, and how many have ink at all.
UNLIKE_MIRROR = """(axis) => {
    const canvas = hypersd.board.paper.ink.canvas, side = canvas.width;
    const data = canvas.getContext("2d").getImageData(0, 0, side, side).data;
    const alpha = (x, y) => data[4 * (y * side + x) + 3];
    let unlike = 0, inked = 0;
    for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) {
        const other = axis === "x" ? alpha(side - 1 - x, y) : alpha(x, side - 1 - y);
        inked += alpha(x, y) > 0;
        unlike += Math.abs(alpha(x, y) - other) > 40;
    }
    return [unlike, inked];
}"""

ALPHA_OF_SKETCH = """async (source) => {
    const operation = await hypersd.sketchToInk(source);
    const image = await createImageBitmap(await (await fetch(operation.source)).blob());
    const sheet = new OffscreenCanvas(image.width, image.height).getContext("2d");
    sheet.drawImage(image, 0, 0);
    return [...sheet.getImageData(0, 0, image.width, image.height).data].filter((_, i) => i % 4 === 3);
}"""

PASTE = """(source) => fetch(source).then((reply) => reply.blob()).then((blob) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([blob], "pasted.png", { type: "image/png" }));
    window.dispatchEvent(new ClipboardEvent("paste", { clipboardData }));
})"""


@pytest.fixture
def board(studio: Served, visitor: Visitor) -> BoardPage:
    return visitor(studio.address).open()


def png_url(image: Image.Image) -> str:
    """An image as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def ring() -> Image.Image:
    """A ring, black on white: centre (0.5, 0.5), radius 0.3 of the image."""
    image = Image.new("L", (256, 256), 255)
    ImageDraw.Draw(image).ellipse((51, 51, 205, 205), outline=0, width=9)
    return image


@pytest.mark.parametrize("meanwhile", ["undo", "clear", "replace"])
def test_what_happens_while_the_pen_is_down_leaves_earlier_strokes_alone(board: BoardPage, meanwhile: str) -> None:
    board.stroke((0.2, 0.2), (0.8, 0.2))
    board.stroke((0.2, 0.4), (0.8, 0.4))
    board.page.keyboard.press("Control+z")
    before = board.value("JSON.stringify(hypersd.board.drawing.operations)")
    board.pen_down(0.2, 0.7)
    board.pen_to(0.4, 0.7)
    restore = "hypersd.board.restore({head: hypersd.board.settings.head(false), operations: [{tool: 'clear'}]})"
    if meanwhile == "replace":
        board.value(f"({restore}, 0)")
    else:
        board.page.keyboard.press({"undo": "Control+z", "clear": "Delete"}[meanwhile])
    drawn = board.value("JSON.stringify(hypersd.board.drawing.operations)")
    board.pen_to(0.8, 0.8)
    board.pen_up()
    assert board.value("JSON.stringify(hypersd.board.drawing.operations)") == drawn, "the rest of the movement is no stroke"
    assert drawn.startswith(before[:-1])
    assert board.errors == []
    board.stroke((0.3, 0.9), (0.7, 0.9))
    board.settle()
    ink = board.ink()
    board.value("(hypersd.board.paper.repaint(), 0)")
    assert board.ink() == ink, "what was painted piece by piece is what the strokes say"


def test_a_stroke_goes_on_where_there_is_nothing_to_redo(board: BoardPage) -> None:
    board.pen_down(0.2, 0.7)
    board.pen_to(0.4, 0.7)
    board.page.keyboard.press("Control+Shift+z")
    board.pen_to(0.8, 0.7)
    board.pen_up()
    (points,) = board.points()
    assert max(points[0::3]) > 750


def test_a_tap_leaves_a_dot(board: BoardPage) -> None:
    board.page.mouse.click(*board.point(0.5, 0.5))
    assert board.strokes() == 1 and len(board.points()[0]) == 3
    board.wait_for("hypersd.board.drawing.growing === null")
    assert board.ink() > 20


def test_undo_and_redo_go_on_after_a_reload(board: BoardPage) -> None:
    board.stroke((0.2, 0.2), (0.8, 0.2))
    first = board.points()
    board.page.keyboard.press("Delete")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.stroke((0.2, 0.8), (0.8, 0.8))
    both = board.points()
    board.page.keyboard.press("Control+z")
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("window.hypersd && hypersd.board && hypersd.board.image")
    assert board.points() == both[:1]
    board.page.keyboard.press("Control+Shift+z")
    assert board.points() == both
    for _ in range(3):
        board.page.keyboard.press("Control+z")
    assert board.points() == first, "what was cleared before the reload"


def test_the_pressure_of_the_pen_is_in_the_stroke(board: BoardPage) -> None:
    hands = Hands(board)
    pressures = [0.2, 0.4, 0.7, 0.95]
    hands.pen("Pressed", 0.2, 0.5, pressures[0])
    for i, pressure in enumerate(pressures[1:], 1):
        hands.pen("Moved", 0.2 + 0.15 * i, 0.5, pressure)
        board.wait_for(f"hypersd.board.drawing.current.points.length >= {3 * (i + 1)}")
    hands.pen("Released", 0.65, 0.5, 0)
    (points,) = board.points()
    assert points[2::3] == pytest.approx(pressures, abs=0.01)
    board.stroke((0.2, 0.8), (0.8, 0.8))
    assert set(board.points()[1][2::3]) == {0.5}, "a mouse has none"


def test_the_hand_that_holds_the_pen_draws_nothing(board: BoardPage) -> None:
    hands = Hands(board)
    hands.fingers("Start", (0.8, 0.8))
    board.wait_for("hypersd.board.drawing.growing !== null")
    hands.pen("Pressed", 0.2, 0.2, 0.5)
    board.wait_for("hypersd.board.drawing.current.points[0] < 300")
    assert board.strokes() == 1, "the palm came first, and is taken back"
    hands.pen("Moved", 0.4, 0.3, 0.5)
    hands.fingers("Move", (0.75, 0.85))
    hands.fingers("End")
    hands.fingers("Start", (0.9, 0.7))
    hands.fingers("Move", (0.6, 0.7))
    hands.fingers("End")
    hands.pen("Moved", 0.5, 0.3, 0.5)
    hands.pen("Released", 0.5, 0.3, 0)
    board.wait_for("hypersd.board.drawing.growing === null")
    (points,) = board.points()
    assert max(points[0::3]) < 600 and max(points[1::3]) < 400, "the pen's places only"
    assert board.errors == []


def test_two_fingers_zoom_and_take_back_the_stroke_begun(board: BoardPage) -> None:
    hands = Hands(board)
    board.stroke((0.2, 0.1), (0.8, 0.1))
    hands.fingers("Start", (0.45, 0.5))
    hands.fingers("Move", (0.44, 0.5))
    board.wait_for("hypersd.board.drawing.growing !== null")
    hands.fingers("Start", (0.44, 0.5), (0.56, 0.5))
    for i in range(1, 5):
        hands.fingers("Move", (0.44 - 0.03 * i, 0.5), (0.56 + 0.03 * i, 0.5))
    board.wait_for("hypersd.board.paper.view.zoom > 2")
    hands.fingers("End")
    assert board.strokes() == 1
    zoom, x, y = board.value("[hypersd.board.paper.view.zoom, hypersd.board.paper.view.x, hypersd.board.paper.view.y]")
    assert zoom == pytest.approx(3, abs=0.2)
    side = board.value("hypersd.board.paper.frame.clientWidth")
    assert (x, y) == pytest.approx((-(zoom - 1) * side / 2, -(zoom - 1) * side / 2), abs=0.1 * side), "about their middle"
    board.page.keyboard.press("0")
    hands.fingers("Start", (0.2, 0.5))
    hands.fingers("Move", (0.6, 0.5))
    hands.fingers("End")
    board.wait_for("hypersd.board.drawing.visible.length === 2")


def test_the_wheel_pans_a_zoomed_paper_and_scrolls_the_page_else(board: BoardPage) -> None:
    board.page.set_viewport_size({"width": 1280, "height": 500})
    board.page.mouse.move(*board.point(0.5, 0.3))
    board.page.mouse.wheel(0, 40)
    board.wait_for("scrollY > 0")
    board.value("scrollTo(0, 0)")
    board.page.mouse.move(*board.point(0.5, 0.3))
    board.page.keyboard.down("Control")
    board.page.mouse.wheel(0, -300)
    board.page.keyboard.up("Control")
    board.wait_for("hypersd.board.paper.view.zoom > 2")
    x, y = board.value("[hypersd.board.paper.view.x, hypersd.board.paper.view.y]")
    board.page.mouse.wheel(20, 30)
    board.wait_for(f"hypersd.board.paper.view.y < {y}")
    assert board.value("[hypersd.board.paper.view.x, hypersd.board.paper.view.y]") == pytest.approx([x - 20, y - 30])
    assert board.value("scrollY") == 0


def test_the_view_has_buttons_and_says_how_near_it_is(board: BoardPage) -> None:
    fit = board.page.locator('.hs-zoom [data-act="fit"]')
    expect(fit).to_have_text("100 %")
    board.page.get_by_role("button", name="Zoom in").click()
    board.page.get_by_role("button", name="Zoom in").click()
    expect(fit).to_have_text("225 %")
    assert board.value("hypersd.board.paper.view.x") == pytest.approx(-0.625 * board.value("hypersd.board.paper.frame.clientWidth"))
    board.page.get_by_role("button", name="Zoom out").click()
    expect(fit).to_have_text("150 %")
    fit.click()
    expect(fit).to_have_text("100 %")
    board.page.keyboard.press("+")
    expect(fit).to_have_text("150 %")
    board.page.keyboard.press("-")
    expect(fit).to_have_text("100 %")


@pytest.mark.parametrize(("presses", "axes"), [(1, "x"), (2, "xy")])
def test_mirrored_ink_is_symmetric(board: BoardPage, presses: int, axes: str) -> None:
    for _ in range(presses):
        board.page.keyboard.press("m")
    board.stroke((0.1, 0.15), (0.4, 0.3), (0.2, 0.45))
    for axis in axes:
        unlike, inked = board.page.evaluate(UNLIKE_MIRROR, axis)
        assert inked > 1000 and unlike < 0.01 * inked, axis


def test_a_sketch_is_the_same_ink_white_on_black_and_black_on_white(board: BoardPage) -> None:
    light = ring().resize((512, 512))  # the side it is read at: no resampling rounds the two apart
    dark = ImageOps.invert(light)
    alphas = [board.page.evaluate(ALPHA_OF_SKETCH, png_url(image)) for image in (light, dark)]
    assert alphas[0] == alphas[1]
    inked = sum(alpha > 128 for alpha in alphas[0]) / len(alphas[0])
    assert 0.04 < inked < 0.1, "the ring, not its paper"


def test_a_pasted_image_becomes_the_trace(board: BoardPage) -> None:
    trace = board.page.locator(".hs-reference")
    expect(trace).to_be_hidden()
    board.page.evaluate(PASTE, png_url(ring()))
    expect(trace).to_be_visible(timeout=WAIT)
    assert board.value("hypersd.board.reference.image.naturalWidth") == 256
    assert board.strokes() == 0, "it lies under the drawing"


def test_a_trace_becomes_strokes_that_can_be_undone_together(board: BoardPage) -> None:
    board.page.evaluate(PASTE, png_url(ring()))
    expect(board.page.locator(".hs-reference")).to_be_visible(timeout=WAIT)
    board.page.get_by_role("button", name="Layers").click()
    board.page.get_by_role("button", name="Trace to lines").click()
    board.wait_for("hypersd.board.drawing.visible.length > 0")
    places = [
        (x / 1024 - 0.5, y / 1024 - 0.5) for points in board.points() for x, y in zip(points[0::3], points[1::3], strict=True)
    ]
    radii = sorted((x * x + y * y) ** 0.5 for x, y in places)
    assert len(radii) > 50 and radii[0] > 0.25 and radii[-1] < 0.33, "both edges of the ring, and nothing else"
    expect(board.page.locator(".hs-reference")).to_be_hidden()
    board.page.keyboard.press("Control+z")
    assert board.strokes() == 0
    expect(board.page.locator(".hs-reference")).to_be_visible()


def test_the_image_becomes_lines_on_pockets_own_path(board: BoardPage) -> None:
    board.settle()
    assert board.value("hypersd.board.settings.control.name") == "scribble", "its edges are found in the browser"
    board.page.locator('.hs-board [data-act="todrawing"]').click()
    board.wait_for("hypersd.board.drawing.visible.length > 0")
    assert {stroke["tool"] for stroke in board.value("hypersd.board.drawing.visible")} == {"brush"}


def test_every_point_the_browser_put_together_arrives(board: BoardPage) -> None:
    board.pen_down(0.2, 0.5)
    sent = board.page.evaluate("""() => {
        const { paper } = hypersd.board, box = paper.frame.getBoundingClientRect();
        const at = (i) => ({ pointerId: paper.pointer, pointerType: "pen", bubbles: true, pressure: 0.1 + 0.05 * i,
            clientX: box.left + box.width * (0.2 + 0.04 * i), clientY: box.top + box.height * 0.6 });
        const coalescedEvents = Array.from({ length: 12 }, (_, i) => new PointerEvent("pointermove", at(i)));
        paper.frame.dispatchEvent(new PointerEvent("pointermove", { ...at(11), coalescedEvents }));
        return coalescedEvents.map((event) => [event.clientX, event.pressure]);
    }""")
    board.pen_up()
    (points,) = board.points()
    left, _ = board.point(0, 0)
    width = board.value("hypersd.board.paper.world.getBoundingClientRect().width")
    places = [((x - left) / width * 1024, pressure) for x, pressure in sent]
    assert points[3:39:3] == pytest.approx([x for x, _ in places], abs=2.5)
    assert points[5:39:3] == pytest.approx([pressure for _, pressure in places], abs=0.01)


@pytest.mark.parametrize("zoom", [1, 3])
def test_the_ink_runs_ahead_to_where_the_pen_will_be(board: BoardPage, zoom: int) -> None:
    board.page.evaluate("zoom => hypersd.board.paper.zoom(zoom)", zoom)
    board.pen_down(0.2, 0.5)
    ahead = board.page.evaluate("""async () => {
        const { paper } = hypersd.board, box = paper.frame.getBoundingClientRect();
        const at = (share) => new PointerEvent("pointermove", { pointerId: paper.pointer, clientX: box.left + box.width * share,
            clientY: box.top + box.height * 0.6, bubbles: true });
        const event = at(0.3);
        event.getPredictedEvents = () => [at(0.35), at(0.4)];
        paper.move(event);
        await new Promise(requestAnimationFrame);
        const layer = paper.ahead.getBoundingClientRect(), scale = paper.ahead.width / layer.width;
        const alpha = (share, down) => paper.aheadContext.getImageData((box.left + box.width * share - layer.left) * scale,
            (box.top + box.height * down - layer.top) * scale, 1, 1).data[3];
        return [alpha(0.35, 0.6), alpha(0.4, 0.6), alpha(0.35, 0.7)];
    }""")
    assert ahead[0] > 200 and ahead[1] > 100 and ahead[2] == 0
    board.pen_up()
    # What was guessed goes with the pen.
    board.page.wait_for_function(
        "() => !hypersd.board.paper.aheadContext.getImageData(0, 0, 999, 999).data.some((value) => value)", timeout=WAIT
    )


def test_a_movement_that_is_told_twice_is_one_point(board: BoardPage) -> None:
    board.page.evaluate("""() => {
        window.told = [];
        for (const type of ["pointermove", "pointerrawupdate"])
            hypersd.board.paper.frame.addEventListener(type, () => told.push(type));
    }""")
    board.pen_down(0.2, 0.5)
    for step in range(1, 9):
        board.page.mouse.move(*board.point(0.2 + 0.05 * step, 0.5))
        next_frame(board)
    board.pen_up()
    (points,) = board.points()
    assert {"pointermove", "pointerrawupdate"} <= set(board.value("told")), "this browser tells of it twice"
    assert len(points) // 3 == 9
    assert points[::3] == sorted(set(points[::3]))


def test_the_meter_is_short_until_asked(board: BoardPage) -> None:
    board.stroke((0.2, 0.2), (0.8, 0.2), (0.5, 0.8))
    board.settle()
    short = board.page.locator(".hs-meter-short")
    assert short.inner_text().split()[1:3] == ["ms", "·"] and short.inner_text().endswith("/s")
    details = board.page.locator(".hs-meter-parts")
    expect(details).to_be_hidden()
    short.click()
    expect(details).to_be_visible()
    words = details.inner_text()
    for part in ("model", "images/s", "paper, frames/s", "dropped", "socket"):
        assert part in words, words
    drawn = board.value("hypersd.board.meter.drawn()")
    assert drawn > 0, "frames of the paper while the pen moved"
    assert f"{drawn:.0f}" in words
    short.click()
    expect(details).to_be_hidden()


def test_a_resting_pen_gets_the_same_seed_with_more_steps_and_the_full_decoder(board: BoardPage, studio: Served) -> None:
    board.value("hypersd.board.strip.element.remove()")
    board.value("hypersd.board.settings.update({ model: 'large', seed: 31, steps: 1, restSteps: 4 })")
    board.settle()
    studio.engine.requests.clear()
    board.pen_down(0.2, 0.2)
    board.pen_to(0.8, 0.8)
    board.wait_for("hypersd.board.link.idle")
    moving = list(studio.engine.requests)
    assert {(request.seed, request.num_inference_steps, request.decoder) for request in moving} == {(31, 1, "tiny")}
    board.pen_up()
    board.settle()
    rested = studio.engine.requests[-1]
    assert (rested.model, rested.seed, rested.num_inference_steps, rested.decoder) == ("large", 31, 4, "")
    assert rested.control is not None, "and the whole drawing"


def test_the_paper_has_a_role_and_a_name(board: BoardPage) -> None:
    paper = board.page.get_by_role("application", name="Drawing board")
    expect(paper).to_have_attribute("tabindex", "0")
    expect(paper).to_have_attribute("aria-roledescription", "paper")


SMALL_TARGETS = """(least) => [...document.querySelector(".hs-board").querySelectorAll("button, input, select, label.hs-tool")]
    .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.classList.contains("hs-file"))
    .map((each) => [each.outerHTML.slice(0, 90), each.getBoundingClientRect()])
    .filter(([, box]) => box.width < least || box.height < least)
    .map(([html, box]) => `${html} ${box.width} x ${box.height}`)"""


def test_inks_can_be_hit_with_a_mouse_and_all_with_a_finger(board: BoardPage, studio: Served, visitor: Visitor) -> None:
    small = board.page.evaluate(SMALL_TARGETS, 23.9)
    assert [each for each in small if "range" not in each] == []
    phone = visitor(studio.address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).open()
    phone.page.get_by_role("button", name="Settings", exact=True).click()
    still(phone.page)
    small = phone.page.evaluate(SMALL_TARGETS, 43.9)
    assert small == [], "\n".join(small)
