"""What once went wrong under artists' hands, in a real browser; the arithmetic of it is tested in tests/static."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from hypersd_app.catalog.specs import WeightSource
from hypersd_app.requests import GenerationRequest
from hypersd_app.server.http.png_recipes import png_bytes, with_recipe
from hypersd_app.settings import ROOT
from tests.support.board_page import WAIT, BoardPage, still
from tests.support.fake_engine import POCKET
from tests.support.pen import Hands
from tests.support.studio import Served

pytestmark = pytest.mark.browser
LINE = ((0.2, 0.3), (0.8, 0.6))


@pytest.fixture
def board(studio: Served, visitor: Callable[..., BoardPage]) -> BoardPage:
    """A board of the desktop with touch, its first image shown."""
    opened = visitor(studio.address, has_touch=True).open()
    opened.value("hypersd.board.strip.element.remove()")  # the style strip asks on its own while idle
    return opened


def again(board: BoardPage) -> None:
    """Reload the board."""
    board.value("hypersd.board.drawing.saveNow()")
    board.page.reload()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.wait_for("hypersd.board && hypersd.board.image")


def test_a_third_finger_leaves_a_board_that_draws(board: BoardPage) -> None:
    hands = Hands(board)
    places = [(0.3, 0.3), (0.5, 0.5), (0.7, 0.3)]
    for count in (1, 2, 3):
        hands.fingers("Start", *places[:count])
    hands.fingers("End")
    board.wait_for("hypersd.board.paper.touch.fingers.size === 0")
    assert board.strokes() == 0
    board.stroke(*LINE)
    assert board.strokes() == 1
    assert board.value("hypersd.board.paper.pointer === null")


def test_the_right_button_draws_nothing(board: BoardPage) -> None:
    board.page.mouse.move(*board.point(*LINE[0]))
    board.page.mouse.down(button="right")
    board.page.mouse.move(*board.point(*LINE[1]), steps=5)
    board.page.mouse.up(button="right")
    assert board.strokes() == 0


def test_space_moves_the_view_after_a_click_in_the_toolbar(board: BoardPage) -> None:
    board.page.locator('[data-act="symmetry"]').click()
    assert board.value("hypersd.board.tools.symmetry") == 1
    board.page.keyboard.down("Space")
    assert board.value("[hypersd.board.tools.symmetry, hypersd.board.tools.hand]") == [1, True]
    board.value("window.dispatchEvent(new Event('blur'))")  # another window gets the key's end
    assert not board.value("hypersd.board.tools.hand")
    board.page.keyboard.up("Space")
    assert board.value("hypersd.board.tools.symmetry") == 1, "the button was not pressed again"


def test_a_seed_of_more_than_32_bits_does_not_stop_the_board(board: BoardPage, studio: Served) -> None:
    board.page.locator(".hs-fold").first.click()
    seed = board.page.locator('[data-set="seed"]')
    seed.fill("99999999999")
    board.wait_for("hypersd.board.link.idle && hypersd.board.notice.hidden")
    board.stroke(*LINE)
    board.settle()
    assert studio.engine.requests[-1].seed == 2**32 - 1
    seed.blur()
    expect(seed).to_have_value(str(2**32 - 1))
    again(board)
    assert board.value("hypersd.board.notice.hidden")


def test_two_tabs_keep_a_drawing_each(board: BoardPage, studio: Served) -> None:
    other = BoardPage(board.page.context.new_page(), studio.address).open()
    board.stroke(*LINE)
    for _ in range(2):
        other.stroke(*LINE)
    other.value("hypersd.board.drawing.saveNow()")
    drawn = other.strokes()
    again(board)
    assert board.strokes() == 1
    again(other)
    assert other.strokes() == drawn == 2


def test_the_page_is_not_loaded_anew_while_the_pen_is_down(board: BoardPage) -> None:
    board.pen_down(*LINE[0])
    board.pen_to(*LINE[1])
    asked = (
        "fetch(new URL('gradio_api/app_id', location.href)).then(() => { window.answered = hypersd.board.paper.pointer === null; })"
    )
    board.value(f"void {asked}")
    board.page.evaluate("() => fetch(new URL('gradio_api/info', location.href))")  # another call is answered meanwhile
    assert board.value("window.answered === undefined"), "Gradio's question whether the server is back waits"
    board.pen_up()
    board.wait_for("window.answered === true")
    assert board.value("JSON.parse(sessionStorage.getItem('hypersd.drawing')).operations.length") == 1


def test_shift_and_enter_make_one_image(board: BoardPage, studio: Served) -> None:
    board.settle()
    board.page.locator(".hs-live").click()  # the board would follow the words too
    board.page.get_by_role("tab", name="Text to image").click()
    prompt = board.page.locator("#hs-text-prompt textarea, #hs-text-prompt input")
    expect(board.page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    board.page.get_by_label("Follow my typing").uncheck()
    prompt.fill("a green boat")
    before = len(studio.engine.requests)
    prompt.press("Shift+Enter")
    board.wait_for("hypersd.timeline.frames.some((frame) => frame.head.prompt === 'a green boat')")
    assert [request.prompt for request in studio.engine.requests[before:]] == ["a green boat"]
    assert prompt.input_value() == "a green boat"


def test_a_reload_keeps_inks_overlay_and_mirror(board: BoardPage) -> None:
    board.page.locator(".hs-any-ink").evaluate("(any) => { any.value = '#123456'; any.dispatchEvent(new Event('input')); }")
    board.page.locator('[data-act="symmetry"]').click()
    board.page.locator('[data-act="layout"]').click()
    again(board)
    kept = "(({ tools, board }) => [tools.color, tools.any.value, tools.symmetry, board.dataset.layout])(hypersd.board)"
    assert board.value(kept) == ["#123456", "#123456", 1, "overlay"]


def test_a_notice_does_not_move_the_paper_under_the_pen(board: BoardPage) -> None:
    before = board.point(0, 0)
    board.value("hypersd.board.setNotice('The server is busy. It draws on in a moment.')")
    assert board.page.locator(".hs-board > .hs-notice").is_visible()
    assert board.point(0, 0) == before


def test_forgetting_asks_first(board: BoardPage) -> None:
    page: Page = board.page
    board.settle()  # what is under way now would stand in the timeline after all else is forgotten
    page.get_by_role("tab", name="Timeline").click()
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.locator('.hs-timeline [data-do="forget"]').click()
    assert len(asked) == 1 and "cannot be brought back" in asked[0]
    assert board.value("hypersd.timeline.frames.length") > 0
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator('.hs-timeline [data-do="forget"]').click()
    board.wait_for("hypersd.timeline.frames.length === 0")


def test_a_reload_adds_nothing_to_the_timeline_which_follows_the_newest(board: BoardPage) -> None:
    board.settle()
    board.page.wait_for_function("() => hypersd.timeline.save().then(() => true)")
    frames = board.value("hypersd.timeline.frames.length")
    again(board)
    board.settle()
    assert board.value("hypersd.timeline.frames.length") == frames
    board.page.get_by_role("tab", name="Timeline").click()
    board.wait_for("hypersd.timelinePage && hypersd.timelinePage.chosen === hypersd.timeline.frames.at(-1)")
    board.value("hypersd.timeline.add(hypersd.timeline.frames[0].blob, { prompt: 'newer', seed: 1 }, null)")
    expect(board.page.locator(".hs-t-prompt")).to_have_text("newer", timeout=WAIT)


def test_tracing_an_image_made_here_traces_it(board: BoardPage) -> None:
    request = GenerationRequest("a kite", seed=5)
    made = png_bytes(with_recipe(Image.new("RGB", (64, 64), "navy"), request, []))
    board.describe("a boat")
    board.page.locator('.hs-file[data-file="trace"]').set_input_files({"name": "kite.png", "mimeType": "image/png", "buffer": made})
    expect(board.page.locator(".hs-reference")).to_be_visible(timeout=WAIT)
    assert board.page.locator(".hs-prompt").input_value() == "a boat", "its recipe was not restored"


def test_what_is_saved_while_stopped_is_what_is_shown(board: BoardPage, studio: Served) -> None:
    board.describe("a boat")
    board.settle()
    board.page.locator(".hs-live").click()
    board.describe("a castle")
    with board.page.expect_download() as saving:
        board.page.locator('[data-act="save"]').click()
    assert "a-boat" in saving.value.suggested_filename
    assert studio.engine.requests[-1].prompt == "a boat"


def strip() -> bytes:
    """A wide, dark picture with a light bar."""
    image = Image.new("RGB", (256, 96), (12, 12, 16))
    image.paste((240, 240, 240), (60, 40, 200, 52))
    return png_bytes(image)


def test_a_wide_dark_sketch_has_no_bars_of_ink_and_its_letterbox_no_lines(board: BoardPage) -> None:
    file = {"name": "strip.png", "mimeType": "image/png", "buffer": strip()}
    board.page.locator('.hs-file[data-file="sketch"]').set_input_files(file)
    board.wait_for("hypersd.board.drawing.visible.length === 1")
    still(board.page)
    ink = board.page.evaluate(
        """async () => { await new Promise((done) => setTimeout(done, 0));
            const sheet = hypersd.board.paper.control.canvas, side = sheet.width;
            const data = sheet.getContext("2d").getImageData(0, 0, side, side).data;
            const at = (x, y) => data[4 * (Math.round(y * side) * side + Math.round(x * side))];
            return [at(0.5, 0.48), at(0.5, 0.1), at(0.5, 0.9), at(0.1, 0.4), at(0.9, 0.5)]; }"""
    )
    assert ink[0] != ink[1] and len(set(ink[1:])) == 1, "the bar alone is ink"
    board.page.keyboard.press("Control+z")
    board.page.locator('.hs-file[data-file="trace"]').set_input_files(file)
    expect(board.page.locator(".hs-reference")).to_be_visible(timeout=WAIT)
    board.page.get_by_role("button", name="Layers").click()
    for _ in range(2):
        board.page.evaluate("() => hypersd.board.reference.toLines()")
        board.wait_for("hypersd.board.drawing.visible.some((stroke) => stroke.tool === 'brush')")
    heights = [y / 1024 for points in board.points() for y in points[1::3]]
    assert heights and min(heights) > 0.35 and max(heights) < 0.65, "no line where the picture ends"


def test_words_without_room_and_unknown_ones_are_told_on_the_board(
    studio: Served, visitor: Callable[..., BoardPage], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = replace(POCKET, source=WeightSource(path=ROOT / "assets" / "pocket"))
    monkeypatch.setattr(studio.engine, "models", lambda: (row,))
    board = visitor(studio.address).open()
    words = board.page.locator(".hs-words")
    board.describe("a red kitchn")
    expect(words).to_contain_text("kitchn")
    words.get_by_role("button").click()
    assert board.page.locator(".hs-prompt").input_value() == "a red kitchen"
    expect(words).to_be_hidden()
    expect(board.page.locator(".hs-tokens")).to_have_text("3/30")
    board.describe(" and ".join(["a red cat"] * 12))
    expect(words).to_contain_text("Not read")
    board.describe("кошка")
    expect(words.get_by_role("button")).to_contain_text("cat")
