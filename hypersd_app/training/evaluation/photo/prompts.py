"""Captions to draw: a text file, one a line, or COCO's own annotations, one caption of each image."""

from __future__ import annotations

import json
from pathlib import Path

from hypersd_app.errors import InvalidRequest


def read_prompts(path: Path, count: int) -> list[str]:
    """The first `count`, or all where there are fewer. COCO's are sorted by image, each with its first caption.

    Raises InvalidRequest.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = _coco(json.loads(text)) if path.suffix == ".json" else [line.strip() for line in text.splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest("prompts", str(path), "a .txt of captions, or COCO's captions_val2017.json") from error
    prompts = [prompt for prompt in found if prompt][:count]
    if not prompts:
        raise InvalidRequest("prompts", str(path), "a file with captions in it")
    return prompts


def _coco(annotations: dict[str, list[dict[str, object]]]) -> list[str]:
    first: dict[int, tuple[int, str]] = {}
    for each in annotations["annotations"]:
        image, place = int(str(each["image_id"])), int(str(each["id"]))
        if image not in first or place < first[image][0]:
            first[image] = (place, " ".join(str(each["caption"]).split()))
    return [first[image][1] for image in sorted(first)]
