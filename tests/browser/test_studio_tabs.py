"""Text to image, styles, compare, timeline, and recipes on their way between them, in a real Chromium."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from hypersd_app.images.files import encode_jpeg
from hypersd_app.requests import GenerationRequest, StyleWeight
from hypersd_app.server.http.png_recipes import png_bytes, read_recipe, with_recipe
from hypersd_app.ui.i18n.texts import ENGLISH
from tests.catalog.test_catalog import ATTENTION, style_file
from tests.support.board_page import WAIT, BoardPage, drop
from tests.support.fake_engine import paint
from tests.support.studio import Served

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


def test_the_first_image_needs_no_click(page: Page, studio: Served) -> None:
    assert prompts(studio) == ["a red apple"]
    expect(page.locator("#hs-text-status")).to_contain_text("1 image")


def test_images_follow_the_typing_until_told_not_to(page: Page, studio: Served) -> None:
    page.locator("#hs-text-prompt textarea").press_sequentially(" on a table", delay=20)
    expect(page.locator("#hs-text-status")).to_contain_text("1 image")
    page.wait_for_function("() => hypersd.timeline.frames.some(f => f.head.prompt === 'a red apple on a table')", timeout=WAIT)
    page.locator("#hs-text-live input").uncheck()
    asked = len(studio.engine.requests)
    page.locator("#hs-text-prompt textarea").press_sequentially(" at night", delay=20)
    page.locator("#hs-text-make").click()
    page.wait_for_function("() => hypersd.timeline.frames.some(f => f.head.prompt.endsWith('at night'))", timeout=WAIT)
    made = [request.prompt for request in studio.engine.requests[asked:]]
    assert made == ["a red apple on a table at night"], "typing asked for nothing"


def test_an_empty_prompt_is_told_quietly(page: Page) -> None:
    page.locator("#hs-text-prompt textarea").fill("")
    expect(page.locator("#hs-text-status")).to_contain_text("Describe what to draw", timeout=WAIT)
    page.locator("#hs-text-make").click()
    expect(page.get_by_text("prompt: ''")).to_be_visible(timeout=WAIT)


def test_eight_images_have_eight_seeds(page: Page, studio: Served) -> None:
    page.locator("#hs-text-images input[type=number]").fill("8")
    page.locator("#hs-text-images input[type=number]").press("Enter")
    page.locator("#hs-text-make").click()
    expect(page.locator("#hs-text-gallery .thumbnail-item")).to_have_count(8, timeout=WAIT)
    page.wait_for_function("() => hypersd.timeline.frames.length >= 8", timeout=WAIT)  # each is read before it stands there
    seeds = page.evaluate("() => hypersd.timeline.frames.slice(-8).map(f => f.head.seed)")
    assert seeds == list(range(7, 15))


def test_compare_labels_and_images_agree(page: Page, studio: Served) -> None:
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
    assert all(re.fullmatch(r"\d+ ms", caption) for caption in page.locator(".hs-cell span").all_inner_texts())


@pytest.mark.parametrize(
    ("axis", "values", "labels", "field"),
    [
        ("decoder", ["full", "tiny"], ["Full decoder", "Tiny decoder"], "decoder"),
        ("model", ["pocket", "large"], ["Pocket", "Large"], "model"),
        ("scale", ["0.3", "1.4"], ["Follow my lines 0.3", "Follow my lines 1.4"], "scale"),
    ],
)
def test_every_kind_of_axis_asks_for_what_it_says(
    page: Page, studio: Served, axis: str, values: list[str], labels: list[str], field: str
) -> None:
    page.evaluate("stroke => { hypersd.board.settings.set('model', 'large'); hypersd.board.drawing.replace([stroke]); }", STROKE)
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-x").select_option(axis)
    page.locator(".hs-c-xs").fill(" | ".join(values))
    studio.engine.requests.clear()
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    assert page.locator(".hs-grid th[scope=col]").all_inner_texts()[-2:] == labels
    captions = page.locator(".hs-cell span").all_inner_texts()
    assert all(re.fullmatch(r"\d+ ms · 1 step", caption) for caption in captions), "no axis tells the steps"
    made = [request for request in studio.engine.requests if request.control is not None]
    asked = [str(getattr(request.control if field == "scale" else request, field)) for request in made]
    assert asked[-2:] == values
    table, page_box = page.locator(".hs-grid").bounding_box(), page.locator(".hs-compare").bounding_box()
    assert table is not None and page_box is not None
    assert abs(table["width"] - page_box["width"]) < 24, "the grid takes the whole width"


def test_the_wipe_stands_beside_the_grid(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | 2")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    actions, grid = page.locator(".hs-c-after").bounding_box(), page.locator(".hs-grid").bounding_box()
    for place in (0, 1):
        page.locator(".hs-cell").nth(place).click()
    wipe, beside = page.locator(".hs-wipe").bounding_box(), page.locator(".hs-grid-scroll").bounding_box()
    assert actions and grid and wipe and beside
    assert actions["y"] < grid["y"]
    assert wipe["x"] >= beside["x"] + beside["width"] and wipe["y"] + wipe["height"] < 900, "seen without scrolling"


def test_a_compare_link_makes_the_grid_again(page: Page, studio: Served, visitor: Visitor) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | 3")
    page.locator(".hs-c-seed").fill("55")
    page.locator(".hs-c-run").click()
    expect(page.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    link = page.evaluate("() => hypersd.recipeLink(hypersd.comparePage.recipe_)")
    before = page.locator(".hs-cell img").nth(1).get_attribute("src")
    other = visitor(studio.address).page
    other.goto(link)
    expect(other.locator(".hs-cell img[src]")).to_have_count(2, timeout=WAIT)
    assert other.locator(".hs-cell img").nth(1).get_attribute("src") == before


def test_the_style_cards_fill_and_a_click_puts_the_style_on(page: Page, studio: Served) -> None:
    page.get_by_role("tab", name="Styles").click()
    expect(page.locator(".hs-cards img[src]")).to_have_count(3, timeout=WAIT)
    page.locator(".hs-cards .hs-style > button:first-child").nth(1).click()
    page.get_by_role("tab", name="Drawing board").click()
    page.wait_for_function("() => hypersd.board.image && hypersd.board.link.idle", timeout=WAIT)
    assert any(style.name == "clay" for style in studio.engine.requests[-1].styles)


def test_style_cards_show_what_is_drawn_now(studio: Served, visitor: Visitor) -> None:
    """Words and a sketch that come while the cards fill, and a page that was away meanwhile."""
    studio.engine.delay = 0.3
    page = visitor(studio.address).page
    page.goto(studio.address)
    page.get_by_role("tab", name="Styles").click()
    expect(page.locator(".hs-cards img[src]").first).to_be_attached(timeout=WAIT)
    page.evaluate("stroke => hypersd.board.drawing.replace([stroke])", STROKE)
    page.locator(".hs-s-prompt").fill("a green whale")
    page.evaluate("() => Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.wait_for_function("() => !hypersd.stylesPage.cards.working", timeout=WAIT)
    made = prompts(studio).count("a green whale")
    page.evaluate("() => hypersd.stylesPage.cards.render()")  # as when their clock runs out
    assert prompts(studio).count("a green whale") == made, "nobody sees the cards"
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    page.wait_for_function("() => hypersd.stylesPage.cards.complete()", timeout=WAIT)

    drawn = [request for request in studio.engine.requests if request.prompt == "a green whale" and request.styles]
    assert {request.styles[0].name for request in drawn} == {"ink", "clay", "neon"}
    assert all(request.control is not None and request.control.image.any() for request in drawn)
    images = {request.styles[0].name: base64.b64encode(encode_jpeg(paint(request))).decode() for request in drawn}
    shown = page.evaluate("() => [...hypersd.stylesPage.cards.cards].map(([name, card]) => [name, card.querySelector('img').src])")
    assert dict(shown) == {name: f"data:image/jpeg;base64,{image}" for name, image in images.items()}


def test_a_frame_of_the_timeline_is_where_to_go_on(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.describe("a whale")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.settle()
    good = board.image()
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
    assert (board.strokes(), board.image()) == (1, good)


def test_png_out_and_png_in_restores_everything(studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    board = visitor(studio.address).open()
    board.describe("a sailing boat")
    board.stroke((0.2, 0.6), (0.5, 0.8), (0.8, 0.6))
    board.settle()
    before = board.image()
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
    fresh.settle()
    assert fresh.value("[hypersd.board.settings.values.steps, hypersd.board.settings.restSteps]") == [1, 4]
    assert (fresh.strokes(), fresh.image()) == (1, before)


TABS = ("Text to image", "Drawing board", "Styles", "Compare", "Timeline")
DRAWN = GenerationRequest("a kite", seed=31, num_inference_steps=6, recipe="unified", styles=(StyleWeight("clay", 0.7),))
STROKE = {"tool": "brush", "color": "#22252b", "size": 18, "symmetry": 0, "points": [200, 600, 0.5, 500, 700, 0.5, 800, 600, 0.5]}
SAVED = png_bytes(with_recipe(Image.new("RGB", (256, 256)), DRAWN, [STROKE], rest=True))
A1111 = """a castle on a hill <lora:detail:0.6> <lora:ink:0.8>
Negative prompt: blurry, grey
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 123456, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned"""


def foreign_png() -> bytes:
    """An image as A1111 saves it: with models and styles that are not here."""
    image = Image.new("RGB", (64, 96), "grey")
    image.info = {"parameters": A1111}
    return png_bytes(image)


@pytest.mark.parametrize("tab", TABS)
def test_a_png_dropped_on_any_tab_restores_everything(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    drop(page, SAVED, "kite.png", "image/png")
    expect(page.locator(".hs-prompt")).to_have_value("a kite", timeout=WAIT)
    expect(page.get_by_role("tab", name="Drawing board")).to_have_attribute("aria-selected", "true")
    values = page.evaluate("() => hypersd.board.settings.values")
    assert (values["steps"], values["restSteps"], values["seed"], values["styles"]) == (1, 6, 31, {"clay": 0.7})
    assert page.evaluate("() => hypersd.board.drawing.visible.map((stroke) => stroke.points)") == [STROKE["points"]]

    page.get_by_role("tab", name=tab, exact=True).click()
    drop(page, foreign_png(), "castle.png", "image/png")
    expect(page.locator("#hs-text-prompt textarea")).to_have_value("a castle on a hill", timeout=WAIT)
    expect(page.get_by_role("tab", name="Text to image")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".hs-toast").last).to_contain_text("Model v1-5-pruned, Style detail")
    seen = "f => f.head.prompt === 'a castle on a hill' && f.head.num_inference_steps === 20"
    page.wait_for_function(f"() => hypersd.timeline.frames.some({seen})", timeout=WAIT)
    head = page.evaluate(f"() => hypersd.timeline.frames.findLast({seen}).head")
    asked = (head["model"], head["recipe"], head["seed"], head["negative_prompt"], head["guidance_scale"], head["styles"])
    assert asked == ("pocket", "teacher", 123456, "blurry, grey", 7.5, [{"name": "ink", "weight": 0.8}])


NOTE_TASKS = """() => {
    const { server } = hypersd.bridge;
    const ask = server.page_call;
    window.tasks = [];
    server.page_call = (body) => { window.tasks.push(JSON.parse(body.data.message).task); return ask(body); };
}"""


def test_who_cannot_drop_opens_an_image(studio: Served, visitor: Visitor) -> None:
    page = visitor(studio.address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).page
    page.goto(studio.address)
    expect(page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    assert page.locator(".hs-header-tools .hs-open").is_visible()
    field = page.locator(".hs-open input:not([data-file])")
    field.set_input_files({"name": "kite.png", "mimeType": "image/png", "buffer": SAVED})
    expect(page.locator(".hs-prompt")).to_have_value("a kite", timeout=WAIT)
    recipe = {"head": {"prompt": "a snail", "seed": 5}}
    field.set_input_files({"name": "snail.json", "mimeType": "application/json", "buffer": json.dumps(recipe).encode()})
    expect(page.locator("#hs-text-prompt textarea")).to_have_value("a snail", timeout=WAIT)
    field.set_input_files({"name": "words.json", "mimeType": "application/json", "buffer": b"[]"})
    expect(page.locator(".hs-toast").last).to_have_text("There is no recipe in this file")
    page.evaluate(NOTE_TASKS)
    plain = png_bytes(Image.new("RGB", (32, 32), "navy"))
    field.set_input_files({"name": "plain.png", "mimeType": "image/png", "buffer": plain})
    page.wait_for_function("() => !hypersd.board.reference.image.hidden", timeout=WAIT)
    assert page.evaluate("() => window.tasks").count("read_png") == 1, "it is looked into once"


MANY = """([many, rest]) => {
    const blob = new Blob([Uint8Array.of(0)], { type: "image/jpeg" });
    for (let i = 0; i < many; i += 1) hypersd.timeline.add(blob, { prompt: `${rest} ${i}`, seed: i, rest }, null);
}"""


def test_a_long_session_is_thinned_not_cut_off(page: Page) -> None:
    """What was meant stays; of a moving pen's frames some of every time do, and memory has a bound."""
    page.evaluate("() => hypersd.timeline.forget()")
    page.evaluate(MANY, [2, True])
    page.evaluate("() => hypersd.timeline.add(new Blob([]), { prompt: 'from words', seed: 1 }, null)")
    page.evaluate(MANY, [1, False])
    page.evaluate("() => hypersd.timeline.pin(hypersd.timeline.frames[3].id, true)")
    page.evaluate(MANY, [4000, False])
    seeds = page.evaluate("() => hypersd.timeline.frames.filter((f) => f.head.rest === false && !f.pinned).map((f) => f.head.seed)")
    meant = page.evaluate(
        "() => hypersd.timeline.frames.filter((f) => f.head.rest !== false || f.pinned).map((f) => f.head.prompt)"
    )
    assert meant == ["true 0", "true 1", "from words", "false 0"]
    assert len(seeds) <= 1000 and seeds[-500:] == list(range(3500, 4000)), "the newest are all there"
    gaps = [after - before for before, after in pairwise(seeds)]
    assert seeds[0] == 0 and gaps == sorted(gaps, reverse=True) and len(set(gaps)) > 2, "the older, the fewer"
    page.evaluate(MANY, [1600, True])
    assert page.evaluate("() => hypersd.timeline.frames.length") <= 2500
    assert page.evaluate("() => hypersd.timeline.frames.some((f) => f.pinned)")


def test_the_list_of_frames_is_one_stop_of_the_tab_key(page: Page) -> None:
    page.evaluate("() => hypersd.timeline.forget()")
    for rest, many in ((False, 30), (True, 2)):
        page.evaluate(MANY, [many, rest])
    page.get_by_role("tab", name="Timeline").click()
    expect(page.locator(".hs-t-frame")).to_have_count(32)
    assert page.locator('.hs-t-frame[tabindex="0"]').count() == 1
    page.locator('.hs-t-frame[tabindex="0"]').focus()
    prompt = page.locator(".hs-t-prompt")
    for key, words in (("ArrowLeft", "true 0"), ("Home", "false 0"), ("ArrowRight", "false 1"), ("End", "true 1")):
        page.keyboard.press(key)
        expect(prompt).to_have_text(words)
    page.evaluate("() => hypersd.timelinePage.render()")  # as when another image comes
    top = page.evaluate("() => document.activeElement.getBoundingClientRect().top")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.getBoundingClientRect().top") < top
    assert page.locator(".hs-t-frame.hs-rested").count() == 2
    headings = page.locator('.hs-t-group[role="group"]')
    assert headings.first.get_attribute("aria-label") == "false 0"
    newest = page.evaluate(
        """() => {
            const { id } = hypersd.timeline.add(new Blob([]), { prompt: "newest", seed: 1 }, null); // not in the list yet
            hypersd.timelinePage.list.dispatchEvent(new KeyboardEvent("keydown", { key: "End" }));
            return [id, Number(document.activeElement.dataset.id)];
        }"""
    )
    assert newest[0] == newest[1]


def test_a_film_can_be_cancelled(page: Page) -> None:
    page.get_by_role("tab", name="Timeline").click()
    page.evaluate(MANY, [40, True])
    page.evaluate(
        "() => { const [first, ...others] = hypersd.timeline.frames; for (const each of others) each.blob = first.blob; }"
    )
    page.locator(".hs-t-speed").select_option("240")
    page.locator('.hs-timeline [data-do="video"]').click()
    page.wait_for_function("() => document.querySelector('.hs-t-making progress').value > 0", timeout=WAIT)
    assert not page.locator('.hs-timeline [data-do="gif"]').is_visible()
    page.locator('[data-do="cancel"]').click()
    assert page.locator('.hs-timeline [data-do="gif"]').is_visible() and not page.locator(".hs-t-making").is_visible()
    with page.expect_download() as download:
        page.locator('.hs-timeline [data-do="gif"]').click()
    assert download.value.suggested_filename == "session.gif", "nothing came of the first"


def test_a_reload_shows_what_was_there(page: Page) -> None:
    page.evaluate(
        "() => hypersd.toText({ prompt: 'an owl', seed: 44, num_inference_steps: 3, styles: [{ name: 'neon', weight: 0.4 }] })"
    )
    page.wait_for_function("() => hypersd.timeline.frames.at(-1)?.head.seed === 44", timeout=WAIT)
    page.wait_for_function("() => hypersd.isFilling() === false", timeout=WAIT)
    frames = page.evaluate("() => hypersd.timeline.save().then(() => hypersd.timeline.frames.length)")
    page.get_by_role("tab", name="Compare").click()
    page.reload()
    expect(page.get_by_role("tab", name="Compare")).to_have_attribute("aria-selected", "true", timeout=WAIT)
    expect(page.locator(".hs-c-run")).to_be_visible()
    page.get_by_role("tab", name="Text to image").click()
    expect(page.locator("#hs-text-prompt textarea")).to_have_value("an owl", timeout=WAIT)
    expect(page.locator("#hs-text-seed input")).to_have_value("44")
    expect(page.locator("#hs-text-steps input[type=number]")).to_have_value("3")
    expect(page.locator("#hs-text-styles")).to_contain_text("Neon")
    expect(page.locator("#hs-text-status")).to_contain_text("seed 44", timeout=WAIT)
    page.wait_for_function("() => hypersd.isFilling() === false", timeout=WAIT)
    page.locator("#hs-text-prompt textarea").fill("an owl at night")  # once this is drawn nothing of the reload is on its way
    page.wait_for_function("() => hypersd.timeline.frames.at(-1)?.head.prompt === 'an owl at night'", timeout=WAIT)
    assert page.evaluate("() => hypersd.timeline.frames.length") == frames + 1, "the same image is kept once"


def hold_catalogue(route: Route) -> None:
    """core/bridge.js with a catalogue that is there once the page calls `release()`."""
    source = route.fetch().text()
    held = source.replace("{ catalogueCame = resolve; }", "{ catalogueCame = () => {}; window.release = resolve; }")
    assert held != source
    route.fulfill(body=held, content_type="text/javascript")


def test_a_reload_does_not_overwrite_what_is_typed_meanwhile(page: Page) -> None:
    page.evaluate("() => hypersd.toText({ prompt: 'an owl', seed: 44, num_inference_steps: 3 })")
    page.wait_for_function("() => hypersd.timeline.frames.at(-1)?.head.seed === 44", timeout=WAIT)
    page.route("**/core/bridge.js", hold_catalogue)
    page.reload()
    page.locator("#hs-text-prompt textarea").fill("a mole")
    page.evaluate("async () => { release(); await hypersd.catalogueReady; }")
    assert not page.evaluate("() => hypersd.isFilling()")
    page.wait_for_function("() => hypersd.timeline.frames.at(-1)?.head.prompt === 'a mole'", timeout=WAIT)


def test_a_browser_that_keeps_nothing_draws_nevertheless(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address)
    forbid = "Object.defineProperty(window, '{}', {{ get() {{ throw new DOMException('forbidden', 'SecurityError'); }} }});"
    board.page.add_init_script(forbid.format("sessionStorage") + forbid.format("localStorage"))
    board.page.goto(board.address)
    expect(board.page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    board.page.locator("#hs-text-prompt textarea").fill("a mole")
    board.wait_for("hypersd.timeline.frames.at(-1)?.head.prompt === 'a mole'")


def test_what_is_forgotten_while_it_is_saved_stays_forgotten(page: Page) -> None:
    """And a frame that can't be decoded does not take the others with it."""
    kept = page.evaluate(
        """async () => {
            const { timeline } = hypersd;
            const [good, bad] = [timeline.frames[0].blob, new Blob([Uint8Array.of(0)], { type: "image/jpeg" })];
            timeline.forget();
            for (const blob of [bad, good]) timeline.add(blob, { prompt: "forgotten", seed: 1 }, null);
            const saving = timeline.save();
            timeline.forget();
            for (const blob of [bad, good]) timeline.add(blob, { prompt: "kept", seed: 1 }, null);
            await timeline.save();
            await saving;
            const frames = await hypersd.transact(["frames"], "readonly", (stored) => stored.getAll());
            return frames.map((frame) => frame.head.prompt);
        }"""
    )
    assert kept == ["kept", "kept"]


def test_a_restored_recipe_leaves_no_setting_of_before(page: Page) -> None:
    values = page.evaluate(
        """async () => {
            const { settings } = await hypersd.ready('board');
            settings.update({ eta: 0.3, guidance: 9 });
            settings.restore({ prompt: "an owl", model: "pocket", seed: 1, num_inference_steps: 2, eta: null });
            return settings.values;
        }"""
    )
    assert (values["eta"], values["guidance"]) == (None, None), "the recipe's own"


def test_a_mangled_link_is_told(page: Page) -> None:
    for mangled in ("abcde", "e30%20", "e30"):  # no base64, changed on its way, no recipe
        page.evaluate("() => document.querySelectorAll('.hs-toast').forEach((toast) => toast.remove())")
        page.evaluate("(code) => { location.hash = `#recipe=${code}`; }", mangled)
        expect(page.locator(".hs-toast").last).to_have_text("There is no recipe in this file", timeout=WAIT)
        assert page.evaluate("() => location.hash") == ""


def test_links_and_recipes_where_there_is_no_clipboard(studio: Served, visitor: Visitor, tmp_path: Path) -> None:
    page = visitor(studio.address).page
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as on plain http
    page.goto(studio.address)
    expect(page.locator("#hs-text-gallery img").first).to_be_visible(timeout=WAIT)
    page.get_by_role("tab", name="Timeline").click()
    page.locator('.hs-timeline [data-do="link"]').click()
    expect(page.locator(".hs-toast").last).to_have_text("Copied")
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-prompt").fill("")
    page.locator(".hs-c-prompt").press("Control+v")
    link = page.locator(".hs-c-prompt").input_value()
    assert link.startswith(f"{studio.address}#recipe=")
    page.get_by_role("tab", name="Timeline").click()
    with page.expect_download() as download:
        page.locator('.hs-timeline [data-do="save"]').click()
    download.value.save_as(tmp_path / "recipe.json")
    assert download.value.suggested_filename == "a-red-apple-7.json"
    assert json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))["head"]["prompt"] == "a red apple"
    page.locator("#hs-text-prompt textarea").evaluate("(field) => { field.value = ''; }")
    page.evaluate("(link) => { location.href = link; }", link)
    expect(page.get_by_role("tab", name="Text to image")).to_have_attribute("aria-selected", "true", timeout=WAIT)
    expect(page.locator(".hs-toast").last).to_have_text("Everything is back")
    assert page.evaluate("() => location.hash") == ""


def test_the_session_is_exported_as_a_gif(page: Page, tmp_path: Path) -> None:
    page.locator("#hs-text-prompt textarea").press_sequentially(" and", delay=80)
    page.wait_for_function("() => hypersd.timeline.frames.length > 1", timeout=WAIT)
    page.get_by_role("tab", name="Timeline").click()
    with page.expect_download() as download:
        page.locator('[data-do="gif"]').click()
    path = tmp_path / "session.gif"
    download.value.save_as(path)
    assert getattr(Image.open(path), "n_frames", 1) > 1


def test_a_phone_shows_paper_and_image_at_once(studio: Served, visitor: Visitor) -> None:
    phone = visitor(studio.address, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    phone.page.goto(phone.address)
    phone.page.get_by_role("tab", name="Drawing board").click()
    phone.wait_for("window.hypersd && hypersd.board && hypersd.board.image")
    assert phone.value("hypersd.board.board.dataset.layout") == "side"
    shown = phone.page.locator(".hs-output").bounding_box()
    assert shown is not None and shown["width"] > 280 and shown["y"] >= 0, "the whole image too"
    assert phone.value("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"
    box = phone.page.locator(".hs-paper").bounding_box()
    assert box is not None and box["width"] > 280 and box["y"] + box["height"] < 800, "the whole paper is on the screen"


def test_the_timeline_survives_a_reload(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.describe("a whale")
    board.stroke((0.2, 0.5), (0.8, 0.5))
    board.stroke((0.5, 0.2), (0.5, 0.8))
    board.settle()
    good, frames = board.image(), board.value("hypersd.timeline.frames.length")
    board.value("hypersd.timeline.pin(hypersd.timeline.frames.at(-1).id, true)")
    board.page.wait_for_function("() => hypersd.timeline.save().then(() => true)")
    board.page.reload()
    board.wait_for(f"window.hypersd && hypersd.timeline.frames.length >= {frames}")
    board.page.get_by_role("tab", name="Timeline").click()
    board.page.locator(".hs-t-pinned").check()
    expect(board.page.locator(".hs-t-frame")).to_have_count(1, timeout=WAIT)
    board.value("hypersd.board.drawing.clear()")
    board.page.locator('[data-do="toboard"]').click()
    board.wait_for("hypersd.board.link && hypersd.board.image")
    board.settle()
    assert (board.strokes(), board.image()) == (2, good)
    board.page.keyboard.press("Control+z")
    assert board.strokes() == 0, "what came back is undone in one step"
    board.page.keyboard.press("Control+Shift+z")
    assert board.strokes() == 2


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
    expect(page.locator(".hs-compare .hs-notice").first).to_contain_text("many", timeout=WAIT)


def test_typed_values_outlive_a_fresh_catalogue(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | 2")
    page.evaluate("() => { hypersd.config.models = structuredClone(hypersd.config.models); hypersd.comparePage.plan(); }")
    expect(page.locator(".hs-c-xs")).to_have_value("1 | 2")
    page.evaluate("() => { hypersd.board.settings.set('model', 'large'); hypersd.comparePage.plan(); }")
    expect(page.locator(".hs-c-x")).to_have_value("steps")
    expect(page.locator(".hs-c-xs")).not_to_have_value("1 | 2")


def test_compare_tells_that_the_network_is_lost(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    page = board.page
    page.get_by_role("tab", name="Compare").click()
    page.locator(".hs-c-xs").fill("1 | 2")
    run = page.locator(".hs-c-run")
    images = lambda route: route.abort() if b"board_frame" in (route.request.post_data_buffer or b"") else route.continue_()  # noqa: E731
    page.route("**/component_server/**", images)
    run.click()
    expect(page.locator(".hs-grid td.hs-failed")).to_have_count(2, timeout=WAIT)
    expect(page.locator(".hs-cell span").first).to_have_text(ENGLISH["board.state.offline"])
    expect(run).to_have_text("Compare")
    page.route("**/component_server/**", lambda route: route.abort())
    run.click()
    expect(page.locator(".hs-compare .hs-notice").first).to_have_text(ENGLISH["board.state.offline"], timeout=WAIT)
    expect(run).to_have_text("Compare")
    assert board.errors == []


def test_a_style_file_dropped_anywhere_is_a_style_everywhere(page: Page, studio: Served, tmp_path: Path) -> None:
    told = {"title": "Doodle", "trigger": "doodle style", "ss_base_model_version": "<b>pocket</b>"}
    path = style_file(tmp_path / "doodle.safetensors", ATTENTION, (4, 384), told)
    drop(page, path.read_bytes(), "doodle.safetensors")
    report = page.locator("#hs-style-report")
    expect(report).to_contain_text("Doodle was added", timeout=WAIT)
    expect(report).to_contain_text("doodle style")
    expect(report).to_contain_text("<b>pocket</b>")
    expect(page.locator(".hs-cards .hs-style")).to_have_count(4, timeout=WAIT)
    page.locator(".hs-cards .hs-style > button:first-child").nth(3).click()
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
    image = Image.new("L", (64, 64), 200)
    image.paste(20, (16, 16, 48, 48))
    image.save(photograph, "PNG")
    board.page.locator('[data-file="trace"]').set_input_files(
        {"name": "p.png", "mimeType": "image/png", "buffer": photograph.getvalue()}
    )
    board.page.locator('[data-opens="hs-layers"]').click()
    board.page.locator('[data-act="tracelines"]').click()
    edges = studio.engine.await_request(lambda request: request.control is not None and request.control.kind == "canny")
    assert (edges.model, edges.width, edges.height) == ("large", 768, 768)


def test_trace_and_theme_survive_a_reload(studio: Served, visitor: Visitor) -> None:
    board = visitor(studio.address).open()
    board.page.locator(".hs-header button").click()
    dark = board.value("document.body.classList.contains('dark')")
    board.page.locator('.hs-board [data-act="totrace"]').click()
    board.wait_for("!hypersd.board.reference.image.hidden")
    board.page.wait_for_function("() => hypersd.keptValue(`trace:${hypersd.board.drawing.document.reference}`).then(Boolean)")
    board.value("hypersd.board.drawing.saveNow()")
    board.page.reload()
    board.wait_for("window.hypersd && hypersd.board && !hypersd.board.reference.image.hidden")
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
