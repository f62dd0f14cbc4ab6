"""Text to image, styles, compare, timeline, and recipes on their way between them, in a real Chromium."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from hypersd_app.server.png_recipes import read_recipe
from tests.board_page import WAIT, BoardPage, drop
from tests.catalog.test_catalog import ATTENTION, style_file
from tests.studio import Served

pytestmark = pytest.mark.browser
Visitor = Callable[..., BoardPage]


@pytest.fixture
def page(studio: Served, visitor: Visitor) -> Page:
    """The studio, open on its first tab."""
    opened = visitor(studio.address)
    opened.page.goto(opened.address)
    expect(opened.page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    return opened.page


def prompts(studio: Served) -> list[str]:
    return [request.prompt for request in studio.engine.requests]


def test_the_first_picture_needs_no_click(page: Page, studio: Served) -> None:
    assert prompts(studio) == ["a red apple"]
    expect(page.locator("#hs-text-status")).to_contain_text("1 picture")


def test_pictures_follow_the_typing_until_told_not_to(page: Page, studio: Served) -> None:
    page.locator("#hs-text-prompt textarea").press_sequentially(" on a table", delay=20)
    expect(page.locator("#hs-text-status")).to_contain_text("1 picture")
    page.wait_for_function("() => hypersd.timeline.frames.some(f => f.head.prompt === 'a red apple on a table')", timeout=WAIT)
    page.locator("#hs-text-live input").uncheck()
    asked = len(studio.engine.requests)
    page.locator("#hs-text-prompt textarea").press_sequentially(" at night", delay=20)
    page.wait_for_timeout(500)
    assert len(studio.engine.requests) == asked
    page.locator("#hs-text-make").click()
    page.wait_for_function("() => hypersd.timeline.frames.some(f => f.head.prompt.endsWith('at night'))", timeout=WAIT)


def test_an_empty_prompt_is_told_quietly(page: Page) -> None:
    page.locator("#hs-text-prompt textarea").fill("")
    expect(page.locator("#hs-text-status")).to_contain_text("Say what to draw", timeout=WAIT)
    page.locator("#hs-text-make").click()
    expect(page.get_by_text("prompt: ''")).to_be_visible(timeout=WAIT)


def test_eight_pictures_have_eight_seeds(page: Page, studio: Served) -> None:
    page.locator("#hs-text-images input[type=number]").fill("8")
    page.locator("#hs-text-images input[type=number]").press("Enter")
    page.locator("#hs-text-make").click()
    expect(page.locator("#hs-text-gallery .thumbnail-item")).to_have_count(8, timeout=WAIT)
    seeds = page.evaluate("() => hypersd.timeline.frames.slice(-8).map(f => f.head.seed)")
    assert seeds == list(range(7, 15))


def test_compare_labels_and_pictures_agree(page: Page, studio: Served) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-y").select_option("style")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(16, timeout=WAIT)
    expect(page.locator(".hs-c-run")).to_have_text("Compare")
    columns = page.locator(".hs-grid th[scope=col]").all_inner_texts()
    lines = page.locator(".hs-grid th[scope=row]").all_inner_texts()
    assert columns == ["", "Steps 1", "Steps 2", "Steps 4", "Steps 8"]
    assert lines == ["no style", "Ink", "Clay", "Neon"]
    made = {
        (request.num_inference_steps, request.styles[0].name if request.styles else "-"): request
        for request in studio.engine.requests
    }
    assert set(made) == {(steps, style) for steps in (1, 2, 4, 8) for style in ("-", "ink", "clay", "neon")}
    assert {request.seed for request in made.values()} == {7}
    assert page.locator(".hs-cell img").nth(6).get_attribute("alt") == "a red apple: Steps 4 · Ink"


def test_a_compare_link_makes_the_grid_again(page: Page, studio: Served, visitor: Visitor) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | 3")
    page.locator(".hs-c-seed").fill("55")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    link = page.evaluate("() => hypersd.link(hypersd.comparePage.recipe_)")
    before = page.locator(".hs-cell img").nth(1).get_attribute("src")
    other = visitor(studio.address).page
    other.goto(link)
    expect(other.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    assert other.locator(".hs-cell img").nth(1).get_attribute("src") == before


def test_the_style_cards_fill_and_a_click_puts_the_style_on(page: Page, studio: Served) -> None:
    page.get_by_role("tab", name="Styles").click()
    expect(page.locator(".hs-cards img[src]")).to_have_count(3, timeout=WAIT)
    page.locator(".hs-cards button").nth(1).click()
    page.get_by_role("tab", name="Drawing board").click()
    page.wait_for_function("() => hypersd.board.picture && hypersd.board.link.idle", timeout=WAIT)
    assert any(style.name == "clay" for style in studio.engine.requests[-1].styles)


def test_a_frame_of_the_timeline_is_where_to_go_on(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.describe("a whale")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.settle()
    good = board.picture()
    board.page.get_by_role("tab", name="Timeline").click()
    expect(board.page.locator(".hs-t-prompt")).to_have_text("a whale", timeout=WAIT)
    board.page.locator('[data-do="pin"]').click()
    board.page.get_by_role("tab", name="Drawing board").click()
    board.describe("a train")
    board.page.keyboard.press("Tab")
    board.stroke((0.2, 0.1), (0.8, 0.9))
    board.settle()
    board.page.get_by_role("tab", name="Timeline").click()
    board.page.locator(".hs-t-pinned").check()
    board.page.locator(".hs-t-frame").first.click()
    board.page.locator('[data-do="branch"]').click()
    expect(board.page.locator(".hs-prompt")).to_have_value("a whale", timeout=WAIT)
    board.settle()
    assert (board.strokes(), board.picture()) == (1, good)


def test_png_out_and_png_in_restores_everything(studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    board = visitor(studio.address).open()
    board.describe("a sailing boat")
    board.stroke((0.2, 0.6), (0.5, 0.8), (0.8, 0.6))
    board.settle()
    before = board.picture()
    with board.page.expect_download() as download:
        board.page.locator('.hs-board [data-act="save"]').click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "a-sailing-boat-7.png"
    data = path.read_bytes()
    assert read_recipe(data)["head"]["prompt"] == "a sailing boat" and Image.open(io.BytesIO(data)).size == (256, 256)
    fresh = visitor(studio.address).open()
    drop(fresh.page, data, "boat.png", "image/png")
    expect(fresh.page.locator(".hs-prompt")).to_have_value("a sailing boat", timeout=WAIT)
    fresh.value("hypersd.board.settings.set('steps', 1)")
    fresh.settle()
    assert (fresh.strokes(), fresh.picture()) == (1, before)


def test_the_session_is_exported_as_a_gif(page: Page, tmp_path: Path) -> None:
    page.locator("#hs-text-prompt textarea").press_sequentially(" and", delay=80)
    page.wait_for_function("() => hypersd.timeline.frames.length > 1", timeout=WAIT)
    page.get_by_role("tab", name="Timeline").click()
    with page.expect_download() as download:
        page.locator('[data-do="gif"]').click()
    path = tmp_path / "session.gif"
    download.value.save_as(path)
    assert getattr(Image.open(path), "n_frames", 1) > 1


def test_a_phone_shows_paper_and_picture_at_once(studio: Served, visitor: Visitor) -> None:
    phone = visitor(studio.address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    phone.page.goto(phone.address)
    phone.page.get_by_role("tab", name="Drawing board").click()
    phone.wait_for("window.hypersd && hypersd.board && hypersd.board.picture")
    assert phone.value("hypersd.board.board.dataset.layout") == "overlay"
    assert phone.value("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
    box = phone.page.locator(".hs-paper").bounding_box()
    assert box is not None and box["width"] > 320 and box["y"] + box["height"] < 800, "the whole paper is on the screen"


def test_the_timeline_survives_a_reload(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.describe("a whale")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.stroke((0.5, 0.2), (0.5, 0.8))
    board.settle()
    good, frames = board.picture(), board.value("hypersd.timeline.frames.length")
    board.value("hypersd.timeline.pin(hypersd.timeline.frames.at(-1).id, true)")
    board.page.wait_for_function("() => hypersd.timeline.save().then(() => true)")
    board.page.reload()
    board.wait_for(f"window.hypersd && hypersd.timeline.frames.length >= {frames}")
    board.page.get_by_role("tab", name="Timeline").click()
    board.page.locator(".hs-t-pinned").check()
    expect(board.page.locator(".hs-t-frame")).to_have_count(1, timeout=WAIT)
    board.value("hypersd.board.drawing.clear()")
    board.page.locator('[data-do="toboard"]').click()
    board.wait_for("hypersd.board.link && hypersd.board.picture")
    board.settle()
    assert (board.strokes(), board.picture()) == (2, good)
    board.page.keyboard.press("Control+z")
    assert board.strokes() == 1, "what came back can be undone"


def test_a_contact_sheet_brings_its_grid_back(page: Page, studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.get_by_role("button", name="Student and teacher").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(9, timeout=WAIT)
    labels = page.locator(".hs-grid th").all_inner_texts()
    assert labels[1:4] == ["Few steps, 1-8 · Steps 1", "Few steps, 1-8 · Steps 4", "Base model · Steps 25"]
    asked = {(request.recipe, request.num_inference_steps, request.seed) for request in studio.engine.requests}
    grid = {("unified", 1), ("unified", 4), ("teacher", 25)}
    assert {(*recipe, seed) for recipe in grid for seed in (7, 8, 9)} <= asked
    page.locator(".hs-cell").nth(0).click()
    page.locator(".hs-cell").nth(2).click()
    box = page.locator(".hs-wipe .hs-frame").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert 24 < float(page.locator(".hs-wipe input").input_value()) < 26
    with page.expect_download() as download:
        page.locator('[data-do="sheet"]').click()
    download.value.save_as(tmp_path / "compare.png")
    sheet = Image.open(tmp_path / "compare.png")
    assert sheet.width > 3 * 256 and sheet.height > 3 * 256
    other = visitor(studio.address).page
    other.goto(studio.address)
    expect(other.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    drop(other, (tmp_path / "compare.png").read_bytes(), "compare.png", "image/png")
    expect(other.locator(".hs-cell img[src]")).to_have_count(9, timeout=WAIT)
    assert other.locator(".hs-grid th").all_inner_texts() == labels


def test_a_wrong_axis_is_told(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | many")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-compare .hs-notice")).to_contain_text("many", timeout=WAIT)


def test_a_style_file_dropped_anywhere_is_a_style_everywhere(page: Page, studio: Served, tmp_path: Path) -> None:
    told = {"title": "Doodle", "trigger": "doodle style", "ss_base_model_version": "<b>pocket</b>"}
    path = style_file(tmp_path / "doodle.safetensors", ATTENTION, (4, 384), told)
    drop(page, path.read_bytes(), "doodle.safetensors")
    report = page.locator("#hs-style-report")
    expect(report).to_contain_text("Doodle was added", timeout=WAIT)
    expect(report).to_contain_text("doodle style")
    expect(report).to_contain_text("<b>pocket</b>")
    expect(page.locator(".hs-cards .hs-style")).to_have_count(4, timeout=WAIT)
    page.locator(".hs-cards button").nth(3).click()
    page.get_by_role("button", name="Use in text to image").click()
    expect(page.locator("#hs-text-triggers")).to_contain_text("doodle style", timeout=WAIT)
    page.locator("#hs-text-make").click()
    page.wait_for_function(
        "() => hypersd.timeline.frames.some(f => f.head.styles && f.head.styles.some(s => s.name === 'doodle'))", timeout=WAIT
    )


def test_ideas_and_earlier_prompts_are_a_click_away(page: Page) -> None:
    page.locator(".hs-ideas .hs-chip").nth(3).click()
    expect(page.locator("#hs-text-prompt textarea")).to_have_value("a rocket and the moon")
    page.locator("#hs-text-prompt textarea").fill("a green boat")
    expect(page.locator(".hs-earlier .hs-chip")).to_have_text(["a green boat"], timeout=WAIT)
    page.reload()
    page.locator(".hs-earlier .hs-chip").first.click()
    expect(page.locator("#hs-text-prompt textarea")).to_have_value("a green boat")


def test_other_models_bring_their_controls_and_sizes(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.page.get_by_role("button", name="Settings", exact=True).click()
    assert not board.page.locator('[data-set="control"]').is_visible(), "Pocket has one kind"
    board.page.locator('[data-set="model"]').last.select_option("large")
    board.page.locator('[data-set="control"]').select_option("canny")
    board.page.locator('[data-set="size"]').select_option("768")
    photograph = io.BytesIO()
    picture = Image.new("L", (64, 64), 200)
    picture.paste(20, (16, 16, 48, 48))
    picture.save(photograph, "PNG")
    board.page.locator('[data-file="trace"]').set_input_files(
        {"name": "p.png", "mimeType": "image/png", "buffer": photograph.getvalue()}
    )
    board.page.locator('[data-act="tracelines"]').click()
    for _ in range(WAIT // 50):
        edges = [request for request in studio.engine.requests if request.control is not None and request.control.kind == "canny"]
        if edges:
            break
        board.page.wait_for_timeout(50)
    assert (edges[-1].model, edges[-1].width, edges[-1].height) == ("large", 768, 768)


def test_trace_and_theme_survive_a_reload(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.page.locator(".hs-header button").click()
    dark = board.value("document.body.classList.contains('dark')")
    board.page.locator('.hs-board [data-act="totrace"]').click()
    board.wait_for("!hypersd.board.trace.image.hidden")
    board.page.wait_for_function("() => hypersd.kept('trace').then(Boolean)")
    board.page.reload()
    board.wait_for("window.hypersd && hypersd.board && !hypersd.board.trace.image.hidden")
    assert board.value("document.body.classList.contains('dark')") == dark


def test_digits_choose_the_ink(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.page.locator(".hs-paper").click(position={"x": 5, "y": 5})
    board.page.keyboard.press("2")
    board.stroke((0.3, 0.3), (0.6, 0.6))
    second = board.value("document.querySelectorAll('.hs-ink-button')[1].dataset.color")
    assert board.value("hypersd.board.drawing.current.color") == second


def test_the_session_is_exported_as_a_film(page: Page, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Timeline").click()
    with page.expect_download() as download:
        page.locator('[data-do="video"]').click()
    download.value.save_as(tmp_path / "film")
    start = (tmp_path / "film").read_bytes()[:12]
    if download.value.suggested_filename == "session.mp4":
        assert start[4:8] == b"ftyp"
    else:
        assert download.value.suggested_filename == "session.webm" and start[:4] == b"\x1a\x45\xdf\xa3"
