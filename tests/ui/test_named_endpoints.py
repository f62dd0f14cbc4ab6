"""The named endpoints through gradio_client and MCP, with good and with bad input."""

from __future__ import annotations

import base64
import io
import queue
import re
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image

from hypersd_app.images.scribble import stroke_colour
from tests.catalog.test_catalog import ATTENTION, style_file
from tests.support.event_loop import run_apart
from tests.support.studio import Served, served


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(styles=tmp_path_factory.mktemp("styles")) as running:
        yield running


@pytest.fixture(scope="module")
def client(studio: Served) -> Client:
    return Client(studio.address, verbose=False)


@pytest.fixture
def sketch(tmp_path: Path) -> str:
    path = tmp_path / "sketch.png"
    image = Image.new("RGB", (300, 200), "white")
    image.paste("black", (100, 50, 200, 60))
    image.save(path)
    return str(path)


def text_to_image(client: Client, **changes: object) -> list[dict[str, str]]:
    arguments: dict[str, object] = {"prompt": "a red apple", "num_inference_steps": 1, "seed": 3, "num_images": 1}
    made: list[dict[str, str]] = client.predict(**{**arguments, **changes}, api_name="/text_to_image")
    return made


def scribble(client: Client, sketch: str, **changes: object) -> str:
    arguments: dict[str, object] = {
        "prompt": "a cat", "num_inference_steps": 1, "controlnet_conditioning_scale": 1.0, "seed": 3,
    }  # fmt: skip
    made: str = client.predict(handle_file(sketch), **{**arguments, **changes}, api_name="/scribble")
    return made


def test_text_to_image_gives_as_many_images_as_asked(client: Client, studio: Served) -> None:
    made = text_to_image(client, num_images=3, num_inference_steps=4)
    images = [Image.open(each["image"]) for each in made]
    assert [image.size for image in images] == [(256, 256)] * 3
    assert len({image.tobytes() for image in images}) == 3
    assert drawn(studio, 3) == [("a red apple", 4, seed) for seed in (3, 4, 5)]


def drawn(studio: Served, images: int) -> list[tuple[str, int, int]]:
    """Prompt, steps and seed of each of the last images: many at once are drawn in parts, between which others come."""
    each = [(request.prompt, request.num_inference_steps, seed) for request in studio.engine.requests for seed in request.seeds]
    return each[-images:]


def test_scribble_follows_the_sketch(client: Client, studio: Served, sketch: str) -> None:
    made = Image.open(scribble(client, sketch))
    assert made.size == (256, 256)
    control = studio.engine.requests[-1].control
    assert control is not None
    assert control.image.max() == 255 and control.image[0, 0].max() == 0, "dark lines on light paper become light on dark"


def test_scribble_keeps_the_colours_of_an_uploaded_sketch(client: Client, studio: Served, tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 200), "white")
    image.paste("#2d6cae", (100, 50, 200, 60))
    image.save(tmp_path / "blue.png")
    scribble(client, str(tmp_path / "blue.png"))
    control = studio.engine.requests[-1].control
    assert control is not None
    assert tuple(control.image[55, 150]) == stroke_colour((45, 108, 174)) != (255, 255, 255)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "x" * 10_000}, ["prompt", "10000 characters", "6000"]),
        ({"num_inference_steps": 0}, ["num_inference_steps", "0", "1 to 8"]),
        ({"num_inference_steps": 9}, ["num_inference_steps", "9", "1 to 8"]),
        ({"num_inference_steps": 2.5}, ["num_inference_steps", "2.5", "whole"]),
        ({"seed": -1}, ["seed", "-1", "0 to 4294967295"]),
        ({"num_images": 9}, ["num_images", "9", "1 to 8"]),
    ],
)
def test_wrong_values_are_named_and_the_next_request_is_served(
    client: Client, changes: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(AppError) as caught:
        text_to_image(client, **changes)
    assert all(word in str(caught.value) for word in words)
    assert text_to_image(client)


def test_wrong_sketches_are_named_and_the_next_request_is_served(client: Client, sketch: str, tmp_path: Path) -> None:
    empty, words, giant = tmp_path / "empty.png", tmp_path / "text.png", tmp_path / "giant.png"
    empty.write_bytes(b"")
    words.write_text("this is no image", encoding="utf-8")
    Image.new("1", (10_000, 5_000)).save(giant)
    for path, expected in ((empty, "empty"), (words, "no readable image"), (giant, "25 megapixels")):
        with pytest.raises(AppError, match="sketch") as caught:
            scribble(client, str(path))
        assert expected in str(caught.value)
        assert scribble(client, sketch)


def test_a_compared_grid_says_what_each_place_shows(client: Client, studio: Served, sketch: str) -> None:
    sheet, report = client.predict(
        "a red apple", "steps", "1 | 4", "style", "- | ink:0.5+clay", 5, sketch=handle_file(sketch), api_name="/compare"
    )
    shown = [(place["column"], place["row"]) for place in report["pictures"]]
    assert shown == [(f"Steps {steps}", style) for style in ("no style", "Ink 0.5 + Clay") for steps in (1, 4)]
    asked = studio.engine.requests[-4:]
    assert [(request.num_inference_steps, len(request.styles)) for request in asked] == [(1, 0), (4, 0), (1, 2), (4, 2)]
    assert all(request.control is not None and request.seed == 5 for request in asked)
    recipe = client.predict(handle_file(sheet), api_name="/recipe_from_png")
    assert recipe["compare"] == {"x": "steps", "xs": ["1", "4"], "y": "style", "ys": ["-", "ink:0.5+clay"]}
    assert recipe["head"]["prompt"] == "a red apple"


def test_wrong_axes_are_named(client: Client) -> None:
    for arguments, words in (
        (("a cat", "colour", "1"), ["x axis", "colour", "steps"]),
        (("a cat", "steps", "1 | many"), ["num_inference_steps", "many", "a number"]),
        (("a cat", "seed", " | ".join(map(str, range(13)))), ["x values", "13", "1 to 12"]),
        (("a cat", "recipe", "unified | gone"), ["recipe", "gone", "teacher"]),
    ):
        with pytest.raises(AppError) as caught:
            client.predict(*arguments, api_name="/compare")
        assert all(word in str(caught.value) for word in words)


def test_a_recipe_is_read_and_made_again(client: Client, studio: Served, sketch: str) -> None:
    made = scribble(client, sketch, styles="ink:0.7")
    recipe = client.predict(handle_file(made), api_name="/recipe_from_png")
    assert recipe["head"]["styles"] == [{"name": "ink", "weight": 0.7}] and recipe["head"]["control"] == "scribble"
    again = client.predict(handle_file(made), api_name="/make_again")
    assert Image.open(again).tobytes() == Image.open(made).tobytes()
    with pytest.raises(AppError, match="picture"):
        client.predict(handle_file(sketch), api_name="/make_again")


def test_every_option_of_text_to_image_arrives(client: Client, studio: Served) -> None:
    text_to_image(
        client, num_inference_steps=20, model="large", recipe="teacher", negative_prompt="grey", guidance_scale=5, width=640
    )
    request = studio.engine.requests[-1]
    assert (request.model, request.recipe, request.num_inference_steps) == ("large", "teacher", 20)
    assert (request.negative_prompt, request.guidance_scale, request.width, request.height) == ("grey", 5.0, 640, None)
    text_to_image(client, styles="ink:0.5, clay")
    assert [(style.name, style.weight) for style in studio.engine.requests[-1].styles] == [("ink", 0.5), ("clay", 1.0)]


def test_photographs_become_control_images(client: Client, sketch: str) -> None:
    edges = client.predict(handle_file(sketch), "canny", "large", api_name="/annotate")
    assert Image.open(edges).size == (512, 512)
    with pytest.raises(AppError, match="control"):
        client.predict(handle_file(sketch), "depth", "large", api_name="/annotate")


def test_images_become_a_film(client: Client, sketch: str, tmp_path: Path) -> None:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "red.png")
    film = client.predict([handle_file(sketch), handle_file(str(tmp_path / "red.png"))], 50, api_name="/animate")
    assert getattr(Image.open(film), "n_frames", 1) == 2


def test_models_and_styles_are_listed(client: Client) -> None:
    models = client.predict(api_name="/list_models")
    assert [model["name"] for model in models] == ["pocket", "large"]
    assert [control["name"] for control in models[1]["controls"]] == ["scribble", "canny"]
    styles = client.predict("", api_name="/list_styles")
    assert styles[0] == {"name": "ink", "title": "Ink", "trigger": "ink style"}


def test_a_style_is_added_and_found(client: Client, studio: Served, tmp_path: Path) -> None:
    path = style_file(tmp_path / "my doodle!.safetensors", ATTENTION, (4, 384), {"title": "Doodle", "trigger": "doodle"})
    added = client.predict(handle_file(str(path)), api_name="/add_style")
    assert (added["title"], added["family"], added["trigger"], added["rank"]) == ("Doodle", "pocket", "doodle", 4)
    assert (studio.styles / "pocket" / f"{added['name']}.safetensors").read_bytes() == path.read_bytes()
    assert added["name"] in client.predict(api_name="/rescan")["styles"]["pocket"]
    words = tmp_path / "words.safetensors"
    words.write_text("no weights", encoding="utf-8")
    with pytest.raises(AppError, match="words"):
        client.predict(handle_file(str(words)), api_name="/add_style")


def test_paint_starts_from_an_image_and_keeps_what_the_mask_protects(client: Client, studio: Served, tmp_path: Path) -> None:
    start, mask = Image.new("RGB", (256, 256), "#3366cc"), Image.new("L", (256, 256))
    mask.paste(255, (0, 0, 128, 256))
    for name, image in (("start", start), ("mask", mask)):
        image.save(tmp_path / f"{name}.png")
    files = {name: handle_file(str(tmp_path / f"{name}.png")) for name in ("start", "mask")}
    made = client.predict(files["start"], "a cat", 0.4, 2, 7, mask=files["mask"], api_name="/paint")
    image, request = Image.open(made), studio.engine.requests[-1]
    assert image.crop((136, 0, 256, 256)).tobytes() == start.crop((136, 0, 256, 256)).tobytes()
    assert image.crop((0, 0, 128, 256)).tobytes() != start.crop((0, 0, 128, 256)).tobytes()
    assert request.init is not None and (request.init.strength, request.num_inference_steps, request.seed) == (0.4, 2, 7)
    assert "Denoising strength: 0.4" in image.info["parameters"] and "Mask hash" in image.info["parameters"]
    with pytest.raises(AppError, match=r"init.*nothing.*painted on"):
        client.predict(handle_file(made), api_name="/make_again")


def test_stickers_come_out_transparent_in_every_format(client: Client, tmp_path: Path) -> None:
    image = Image.new("RGB", (256, 256), "white")
    image.paste("#d03020", (64, 64, 192, 192))
    image.save(tmp_path / "square.png")
    start = handle_file(str(tmp_path / "square.png"))
    for form in ("png", "webp"):
        made = Image.open(client.predict(start, 1024, 0, form, api_name="/sticker"))
        assert (made.size, made.mode) == ((1024, 1024), "RGBA")
        assert made.getpixel((5, 5))[3] == 0 and made.getpixel((512, 512))[3] == 255  # type: ignore[index]
    drawing = Path(client.predict(start, 512, 0, "svg", api_name="/sticker")).read_text(encoding="utf-8")
    assert "<svg" in drawing and "<path" in drawing
    with zipfile.ZipFile(client.predict([start, start], 0.03, api_name="/sticker_pack")) as archive:
        sizes = [entry.file_size for entry in archive.infolist()]
    assert len(sizes) == 2 and max(sizes) < 100_000
    for changes, words in (({"size": 100}, "size"), ({"outline": 1}, "outline"), ({"format": "gif"}, "format.*png")):
        with pytest.raises(AppError, match=words):
            client.predict(start, **changes, api_name="/sticker")


def test_paint_names_what_is_wrong(client: Client, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "start.png")
    Image.new("L", (32, 64)).save(tmp_path / "mask.png")
    start, mask = handle_file(str(tmp_path / "start.png")), handle_file(str(tmp_path / "mask.png"))
    wrong = [
        ({"strength": 1.5}, r"strength.*1\.5.*0 to 1"),
        ({"strength": -0.1}, "strength"),
        ({"mask": mask}, r"mask.*32x64.*64x64"),
        ({"mask": start, "num_inference_steps": 9}, "num_inference_steps"),
        ({"prompt": ""}, "prompt"),
    ]
    for changes, words in wrong:
        with pytest.raises(AppError, match=words):
            client.predict(start, **{"prompt": "a cat", **changes}, api_name="/paint")


ENDPOINTS = {
    "text_to_image", "scribble", "paint", "sticker", "sticker_pack", "compare",
    "recipe_from_png", "make_again", "annotate", "animate",
    "list_models", "list_styles", "rescan", "add_style",
}  # fmt: skip


def test_only_the_named_endpoints_are_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {f"/{name}" for name in ENDPOINTS}
    parameters = [parameter["parameter_name"] for parameter in endpoints["/scribble"]["parameters"]]
    assert parameters[:5] == ["sketch", "prompt", "num_inference_steps", "controlnet_conditioning_scale", "seed"]


@asynccontextmanager
async def mcp_session(studio: Served) -> AsyncIterator[ClientSession]:
    address = f"{studio.address}gradio_api/mcp/"
    async with streamable_http_client(address) as streams, ClientSession(streams[0], streams[1]) as session:
        await session.initialize()
        yield session


def test_mcp_lists_the_same_tools(studio: Served) -> None:
    async def tools() -> dict[str, str]:
        async with mcp_session(studio) as session:
            return {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}

    listed = run_apart(tools())
    assert {name for name in ENDPOINTS if any(tool.endswith(name) for tool in listed)} == ENDPOINTS
    assert len(listed) == len(ENDPOINTS)
    assert all(len(description) > 40 for description in listed.values()), "each says what it does"


def mcp_images(studio: Served, tool: str, arguments: dict[str, object]) -> list[Image.Image]:
    """The images that a tool answers with: one as it is, several by their addresses, as Gradio tells them."""

    async def call() -> CallToolResult:
        async with mcp_session(studio) as session:
            names = [each.name for each in (await session.list_tools()).tools if each.name.endswith(tool)]
            return await session.call_tool(names[0], arguments)

    answer = run_apart(call())
    assert not answer.isError, answer.content
    shown = [base64.b64decode(each.data) for each in answer.content if isinstance(each, ImageContent)]
    words = "".join(each.text for each in answer.content if isinstance(each, TextContent))
    found = shown or [httpx.get(address).content for address in re.findall(r"'url': '([^']+)'", words)]
    return [Image.open(io.BytesIO(data)) for data in found]


def test_mcp_makes_images_from_words(studio: Served) -> None:
    arguments = {"prompt": "a red apple", "num_inference_steps": 4, "seed": 3, "num_images": 2, "styles": "ink:0.5"}
    images = mcp_images(studio, "text_to_image", arguments)
    assert [image.size for image in images] == [(256, 256)] * 2
    assert drawn(studio, 2) == [("a red apple", 4, 3), ("a red apple", 4, 4)]
    request = studio.engine.requests[-1]
    assert [style.name for style in request.styles] == ["ink"]


def test_mcp_turns_a_file_into_an_image(studio: Served, sketch: str) -> None:
    data = base64.b64encode(Path(sketch).read_bytes()).decode()
    images = mcp_images(studio, "scribble", {"sketch": f"data:image/png;base64,{data}", "prompt": "a cat", "seed": 9})
    assert [image.size for image in images] == [(256, 256)]
    request = studio.engine.requests[-1]
    assert (request.prompt, request.seed) == ("a cat", 9)
    assert request.control is not None and request.control.image.max() == 255


def test_mcp_names_what_is_wrong(studio: Served) -> None:
    with pytest.raises(AssertionError, match="num_inference_steps"):
        mcp_images(studio, "text_to_image", {"prompt": "a cat", "num_inference_steps": 9})


def test_a_page_that_is_closed_is_forgotten(studio: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    gone: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(studio.studio.service, "forget", gone.put)
    with httpx.stream("GET", f"{studio.address}gradio_api/heartbeat/closed", timeout=10) as heartbeat:
        next(heartbeat.iter_text())
    assert gone.get(timeout=20) == "127.0.0.1/closed"
