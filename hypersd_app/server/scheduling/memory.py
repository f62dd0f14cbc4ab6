"""What visitors can make the server hold at most, with every limit at its top at once."""

from __future__ import annotations

from collections.abc import Mapping

from hypersd_app.requests import MAX_IMAGES
from hypersd_app.server.scheduling.limits import LARGE_AT_ONCE, OVERSIZED, BoardLimits

CHANNELS = 3
LARGEST_IMAGE = 1024 * 1024  # pixels that a model of the catalogue draws
FRAMES_KEPT = 2  # of one board: one running, one waiting
IMAGES_KEPT = 2  # for a visitor who does not read; pages have two states under way
MESSAGES = 2  # of one socket, before they are taken: one whole and one that comes in
COPIES = 3  # of an image that is being read: the file's pixels, upright, without its alpha
COPIES_MADE = 3  # of an image that is made: pixels, Pillow's, the file


def most_memory(limits: BoardLimits, image: int = LARGEST_IMAGE) -> Mapping[str, int]:
    """Bytes of the server process by what they are for, where `image` is pixels of the largest image that is drawn.

    Models, Python and caches of bounded size come on top: they are there before anybody comes.
    """
    pixels = CHANNELS * image
    return {
        "messages of sockets": limits.sessions * MESSAGES * OVERSIZED * limits.frame_bytes,
        "frames": limits.sessions * FRAMES_KEPT * limits.frame_bytes,
        "images for boards": limits.sessions * (IMAGES_KEPT + 1) * pixels,
        "bodies": limits.bodies,
        "sketches of jobs": limits.jobs * pixels,
        "images of jobs": limits.jobs * MAX_IMAGES * COPIES_MADE * pixels,
        "files that are read": LARGE_AT_ONCE * (limits.upload_bytes + COPIES * 4 * limits.sketch_pixels),
    }
