"""The named endpoints through gradio_client and MCP, with good and with bad input."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.studio import Served, served


@pytest.fixture(scope="module")
def studio() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def client(studio: Served) -> Client:
    return Client(studio.address, verbose=False)


@pytest.fixture
def sketch(tmp_path: Path) -> str:
    path = tmp_path / "sketch.png"
    picture = Image.new("RGB", (300, 200), "white")
    picture.paste("black", (100, 50, 200, 60))
    picture.save(path)
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


def test_text_to_image_gives_as_many_pictures_as_asked(client: Client, studio: Served) -> None:
    made = text_to_image(client, num_images=3, num_inference_steps=4)
    pictures = [Image.open(each["image"]) for each in made]
    assert [picture.size for picture in pictures] == [(256, 256)] * 3
    assert len({picture.tobytes() for picture in pictures}) == 3
    request = studio.engine.requests[-1]
    assert (request.prompt, request.num_inference_steps, request.seed) == ("a red apple", 4, 3)


def test_scribble_follows_the_sketch(client: Client, studio: Served, sketch: str) -> None:
    made = Image.open(scribble(client, sketch))
    assert made.size == (256, 256)
    control = studio.engine.requests[-1].control
    assert control is not None
    assert control.image.max() == 255 and control.image[0, 0].max() == 0, "dark lines on light paper become light on dark"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "x" * 10_000}, ["prompt", "10000 characters", "500"]),
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
    words.write_text("this is no picture")
    Image.new("1", (10_000, 5_000)).save(giant)
    for path, expected in ((empty, "empty"), (words, "no readable picture"), (giant, "25 megapixels")):
        with pytest.raises(AppError, match="sketch") as caught:
            scribble(client, str(path))
        assert expected in str(caught.value)
        assert scribble(client, sketch)


def test_only_the_named_endpoints_are_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/text_to_image", "/scribble"}
    parameters = [parameter["parameter_name"] for parameter in endpoints["/scribble"]["parameters"]]
    assert parameters == ["sketch", "prompt", "num_inference_steps", "controlnet_conditioning_scale", "seed"]


def test_mcp_lists_the_same_tools(studio: Served) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def tools() -> dict[str, str]:
        address = f"{studio.address}gradio_api/mcp/"
        async with streamable_http_client(address) as streams, ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            return {tool.name: tool.description or "" for tool in (await session.list_tools()).tools}

    # In a thread of its own: Playwright's fixtures, used by tests before this one, leave a loop running in the main thread.
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(lambda: asyncio.run(tools())).result()
    wanted = [name for name in listed if name.endswith(("text_to_image", "scribble"))]
    assert len(wanted) == 2
    assert all(
        "whole number from 1 to 8" in listed[name] or "few-step" in listed[name] or "lines" in listed[name] for name in wanted
    )
