"""Painting on an image, masks and variants, with a real pointer in a real Chromium."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.support.board_page import BoardPage
from tests.support.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]


@pytest.fixture
def board(studio: Served, visitor: Visitor) -> BoardPage:
    return visitor(studio.address).open()


@pytest.fixture
def painting(board: BoardPage) -> BoardPage:
    """A board whose first image is painted on."""
    board.settle()
    board.page.locator('[data-act="paintfrom"]').click()
    board.wait_for("hypersd.board.canvas.active")
    board.settle()
    return board


def shown(board: BoardPage) -> np.ndarray:
    """The pixels of the image on the page."""
    data = board.page.evaluate("async () => [...new Uint8Array(await hypersd.board.image.blob.arrayBuffer())]")
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")).astype(int)


def set_strength(board: BoardPage, value: float) -> None:
    slider = board.page.locator(".hs-strength")
    slider.evaluate("(input, value) => { input.value = value; input.dispatchEvent(new Event('input', { bubbles: true })); }", value)
    board.settle()


def test_the_image_becomes_the_canvas_and_strokes_change_it_live(studio: Served, painting: BoardPage) -> None:
    before, start = shown(painting), studio.engine.requests[-1].init
    assert start is not None and start.strength == 0.4 and start.mask is None
    assert painting.page.locator(".hs-canvas").is_visible()
    painting.page.locator('.hs-ink-button[data-color="#d6342c"]').click()
    seq = painting.value("hypersd.board.shownSeq")
    painting.pen_down(0.25, 0.5)
    painting.pen_to(0.75, 0.5, steps=12)
    painting.wait_for(f"hypersd.board.shownSeq > {seq}")
    assert painting.value("hypersd.board.paper.pointer !== null"), "it follows while the pen is down"
    painting.pen_up()
    painting.settle()
    request = studio.engine.requests[-1]
    assert request.init is not None and request.control is not None
    assert request.control.scale == pytest.approx(0.6), "the lines are followed as far as the strength leaves them"
    red, old = request.init.image[128, 128].astype(int), start.image[128, 128].astype(int)
    assert red[0] > 180 and red[1] < 100 and not (red == old).all()
    assert (request.init.image[10, 10] == start.image[10, 10]).all()
    assert np.abs(shown(painting) - before)[124:132, 100:156].mean() > 10
    assert painting.errors == []


def test_strength_goes_from_keep_to_free_and_outlives_a_reload(studio: Served, painting: BoardPage) -> None:
    for value in (0.2, 0.9):
        set_strength(painting, value)
        init = studio.engine.requests[-1].init
        assert init is not None and init.strength == value
    painting.wait_for("!hypersd.board.drawing.timer")
    painting.page.reload()
    painting.wait_for("hypersd.board && hypersd.board.canvas.active && hypersd.board.image")
    painting.settle()
    init = studio.engine.requests[-1].init
    assert init is not None and init.strength == 0.9


def test_a_mask_redoes_only_what_it_covers(studio: Served, painting: BoardPage) -> None:
    set_strength(painting, 1.0)
    painting.page.locator('[data-tool="mask"]').click()
    painting.stroke((0.7, 0.2), (0.7, 0.8))
    painting.settle()
    request = studio.engine.requests[-1]
    assert request.init is not None and request.init.mask is not None
    mask = request.init.mask
    assert mask.shape == (256, 256) and mask[128, 179] == 255 and mask[:, :120].max() == 0
    assert painting.value("hypersd.board.paper.control.context.getImageData(0, 0, 256, 256).data.some((v) => v > 0)") is False
    drawn, old = shown(painting), request.init.image.astype(int)
    assert np.abs(drawn - old)[:, :110].mean() < 3, "but for JPEG the rest is what it was"
    painting.page.locator('[data-act="maskclear"]').click()
    painting.settle()
    assert studio.engine.requests[-1].init.mask is None  # type: ignore[union-attr]
    painting.page.keyboard.press("Control+z")
    painting.settle()
    assert studio.engine.requests[-1].init.mask is not None  # type: ignore[union-attr]


def test_one_undo_brings_the_drawing_back(studio: Served, board: BoardPage) -> None:
    board.stroke((0.2, 0.2), (0.8, 0.8))
    board.settle()
    board.page.locator('[data-act="paintfrom"]').click()
    board.wait_for("hypersd.board.canvas.active")
    board.settle()
    assert studio.engine.requests[-1].init is not None and board.strokes() == 1, "the canvas alone"
    board.page.keyboard.press("Control+z")
    board.settle()
    request = studio.engine.requests[-1]
    assert request.init is None and request.control is not None
    assert not board.page.locator(".hs-canvas").is_visible()


def test_a_saved_image_holds_its_canvas(studio: Served, painting: BoardPage) -> None:
    set_strength(painting, 0.4)
    with painting.page.expect_download() as download:
        painting.page.locator('[data-act="save"]').click()
    image = Image.open(download.value.path())
    assert '"canvas"' in image.info["hypersd"] and "Denoising strength: 0.4" in image.info["parameters"]
    assert studio.engine.requests[-1].init is not None


# --- variants ---------------------------------------------------------------------------------------------------------


def ask_for(board: BoardPage, count: int, kind: str = "seeds") -> None:
    board.page.locator(".hs-variant-kind").select_option(kind)
    board.page.locator(".hs-variant-count").select_option(str(count))


FILLED = "[...document.querySelectorAll('.hs-variant')].slice(1).every((cell) => !cell.classList.contains('hs-stale'))"


def test_variants_fill_in_order_after_the_first_and_a_click_goes_on_from_one(studio: Served, board: BoardPage) -> None:
    board.settle()
    ask_for(board, 4)
    board.stroke((0.2, 0.3), (0.7, 0.6))
    board.wait_for(FILLED)
    studio.engine.requests.clear()
    board.stroke((0.2, 0.6), (0.7, 0.3))
    board.wait_for(FILLED)
    seed = board.value("hypersd.board.settings.values.seed")
    # The resting pen's better image may come between, of the board's own seed.
    seeds = [request.seed for request in studio.engine.requests if request.seed != seed]
    assert studio.engine.requests[0].seed == seed and seeds[-3:] == [seed + 1, seed + 2, seed + 3]
    sources = board.value("[...document.querySelectorAll('.hs-variant img')].map((image) => image.src)")
    assert len(set(sources)) == 4 and all(request.control is not None for request in studio.engine.requests)
    board.page.locator(".hs-variant").nth(2).click()
    board.settle()
    assert board.value("hypersd.board.settings.values.seed") == seed + 2
    assert board.page.locator(".hs-variant").nth(1).inner_text().strip() == str(seed + 3)
    board.wait_for(FILLED)
    assert board.errors == []


def test_a_new_stroke_cancels_the_variants_that_are_left(studio: Served, board: BoardPage) -> None:
    board.settle()
    studio.engine.delay = 0.4
    ask_for(board, 6)
    board.stroke((0.2, 0.3), (0.7, 0.6))
    revision = board.value("hypersd.board.drawing.revision")
    board.wait_for("hypersd.board.variants.working")
    studio.engine.requests.clear()
    board.pen_down(0.3, 0.8)
    board.pen_to(0.6, 0.8)
    seed = board.value("hypersd.board.settings.values.seed")
    board.wait_for(f"hypersd.board.link.idle && hypersd.board.drawing.revision > {revision}")
    others = [request.seed for request in studio.engine.requests if request.seed != seed]
    assert len(others) <= 1, "the one that ran already; none while the pen is down"
    board.pen_up()
    studio.engine.delay = 0.02
    board.wait_for(FILLED)


def test_variants_of_styles(studio: Served, board: BoardPage) -> None:
    board.settle()
    ask_for(board, 4, "styles")
    board.wait_for(FILLED)
    assert {row.name for request in studio.engine.requests for row in request.styles} >= {"ink", "clay", "neon"}
    board.page.locator('.hs-variant[data-variant="Clay"]').click()
    board.settle()
    assert [row.name for row in studio.engine.requests[-1].styles if row.name == "clay"] == ["clay"]
    assert board.value("Object.keys(hypersd.board.settings.values.styles)") == ["clay"]
