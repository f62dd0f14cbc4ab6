# ruff: noqa: E501 - tables of texts as programs write them
"""Small image files that carry recipes as this and other programs write them, and files made to do harm."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from PIL import Image

from hypersd_app.images.png import SIGNATURE, chunk

A1111 = (
    "a red apple\nNegative prompt: blurry, dark\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4242, Size: 512x512, Model hash: 6ce0161689, Model: someMix_v3, Version: v1.10.1"
)


def a1111(prompt: str, settings: str = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4242, Size: 512x512") -> str:
    """A1111's text without a negative prompt."""
    return f"{prompt}\n{settings}"


def text_chunk(key: str, text: str | bytes, kind: str = "tEXt") -> bytes:
    """A text chunk of one of PNG's three kinds; "zip" is an iTXt that is packed."""
    body, name = text if isinstance(text, bytes) else text.encode("utf-8"), key.encode("latin-1") + b"\0"
    if kind == "zTXt":
        return chunk(b"zTXt", name + b"\0" + zlib.compress(body))
    if kind == "zip":
        return chunk(b"iTXt", name + b"\1\0\0\0" + zlib.compress(body, 9))
    return chunk(b"iTXt", name + b"\0\0\0\0" + body) if kind == "iTXt" else chunk(b"tEXt", name + body)


def png(*chunks: bytes, after: Sequence[bytes] = (), size: tuple[int, int] = (8, 8)) -> bytes:
    """A black PNG with chunks before, or `after`, its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes((1 + size[0]) * size[1]), 9))
    return b"".join((SIGNATURE, header, *chunks, pixels, *after, chunk(b"IEND", b"")))


def with_text(text: str, key: str = "parameters", kind: str = "tEXt") -> bytes:
    """A PNG with one text."""
    return png(text_chunk(key, text, kind))


def with_exif(text: str, file_format: str = "JPEG", order: str = "utf-16-be", tag: int = 0x9286) -> bytes:
    """A JPEG or WebP whose EXIF has a comment in UTF-16, or a plain text under another tag."""
    exif = Image.Exif()
    if tag == 0x9286:
        exif.get_ifd(0x8769)[tag] = b"UNICODE\0" + text.encode(order)
    else:
        exif[tag] = text
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, file_format, exif=exif.tobytes())
    return buffer.getvalue()


def own(request: dict[str, Any] | None = None, **document: Any) -> bytes:
    """A PNG of this studio, its request changed."""
    good = {"prompt": "a cat", "model": "pocket", "recipe": "unified", "num_inference_steps": 1, "seed": 5, "styles": []}
    return with_text(json.dumps({"format": 1, "request": good | (request or {}), **document}), "hypersd", "iTXt")


def control(width: int, height: int) -> dict[str, Any]:
    """A control image of black pixels as a recipe holds one: a few bytes, however large."""
    image = png(size=(width, height))
    return {"kind": "scribble", "scale": 1.0, "png": base64.b64encode(image).decode()}


COMFYUI = {
    "3": {"class_type": "KSampler", "inputs": {
        "seed": 648312782957426, "steps": 4, "cfg": 1.5, "model": ["10", 0], "positive": ["8", 0], "negative": ["7", 0],
        "latent_image": ["5", 0]}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 512, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red apple", "clip": ["10", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["10", 1]}},
    "8": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "image": ["99", 0]}},
    "10": {"class_type": "LoraLoader", "inputs": {
        "lora_name": "styles\\ink.safetensors", "strength_model": 0.7, "strength_clip": 0.5, "model": ["4", 0], "clip": ["4", 1]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "someMix_v3.safetensors"}},
}  # fmt: skip
FLUX = {
    "13": {"class_type": "SamplerCustomAdvanced", "inputs": {
        "noise": ["25", 0], "guider": ["22", 0], "sigmas": ["17", 0], "latent_image": ["27", 0]}},
    "25": {"class_type": "RandomNoise", "inputs": {"noise_seed": 7}},
    "22": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["26", 0]}},
    "26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["30", 0]}},
    "30": {"class_type": "PrimitiveString", "inputs": {"value": "a red apple"}},
    "17": {"class_type": "BasicScheduler", "inputs": {"steps": 8, "model": ["12", 0]}},
    "12": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux1.safetensors"}},
    "27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": 768, "height": 768}},
}  # fmt: skip
FOOOCUS = {
    "base_model": "someMix_v3.safetensors", "prompt": "a red apple", "negative_prompt": "blurry", "steps": 30, "seed": "4242",
    "guidance_scale": 4.0, "resolution": "(512, 640)", "loras": [["ink.safetensors", 0.5, "ab12"]],
    "styles": "['Fooocus V2']", "metadata_scheme": "fooocus", "version": "Fooocus v2.5.5",
}  # fmt: skip
SWARMUI = {
    "sui_image_params": {
        "prompt": "a red apple", "negativeprompt": "blurry", "model": "someMix_v3", "seed": 4242, "steps": 20, "cfgscale": 7.0,
        "width": 512, "height": 640, "loras": ["ink"], "loraweights": ["0.5"], "swarm_version": "0.9.6"},
}  # fmt: skip
INVOKEAI = {
    "positive_prompt": "a red apple", "negative_prompt": "blurry", "width": 512, "height": 640, "seed": 4242, "cfg_scale": 7.5,
    "steps": 20, "model": {"key": "x", "name": "someMix_v3", "base": "sd-1"},
    "loras": [{"model": {"name": "ink", "base": "sd-1"}, "weight": 0.5}], "app_version": "5.6.0",
}  # fmt: skip
INVOKEAI_2 = {
    "model_weights": "someMix_v3",
    "image": {"prompt": [{"prompt": "a red apple", "weight": 1}], "steps": 20, "cfg_scale": 7.5, "seed": 4242, "width": 512, "height": 640},
}  # fmt: skip


def bomb(megabytes: int, key: str = "parameters", kind: str = "zip") -> bytes:
    """A small PNG whose packed text is a thousand times as long."""
    return with_text("a" * (megabytes * 1024 * 1024), key, kind)
