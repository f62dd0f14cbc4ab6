"""Sizes of about one area and different aspect ratios, so that photographs need not be cut to squares (NovelAI, 2022)."""

from __future__ import annotations

import math

from PIL import Image

Size = tuple[int, int]  # (width, height)


def bucket_sizes(side: int, step: int, most: float = 2.0) -> list[Size]:
    """All (width, height), multiples of `step`, at most `side`^2 in area, up to `most` to 1; each width has its largest height."""
    sizes = set()
    for width in range(step, int(side * most**0.5) + step, step):
        height = (side * side // width) // step * step
        if height and max(width / height, height / width) <= most:
            sizes |= {(width, height), (height, width)}
    return sorted(sizes)


def nearest_bucket(size: Size, buckets: list[Size]) -> Size:
    """The bucket whose aspect ratio is the nearest, measured by its logarithm."""
    ratio = math.log(size[0] / size[1])
    return min(buckets, key=lambda bucket: (abs(math.log(bucket[0] / bucket[1]) - ratio), -bucket[0] * bucket[1]))


def fitted(image: Image.Image, size: Size) -> tuple[Image.Image, Size]:
    """The middle of the image scaled to cover `size`, and how far (left, top) it was cut, in pixels after scaling."""
    scale = max(size[0] / image.width, size[1] / image.height)
    covered = (max(size[0], round(image.width * scale)), max(size[1], round(image.height * scale)))
    left, top = (covered[0] - size[0]) // 2, (covered[1] - size[1]) // 2
    return image.resize(covered, Image.Resampling.LANCZOS).crop((left, top, left + size[0], top + size[1])), (left, top)
