"""A Space that lends a GPU by the call (ZeroGPU), by way of the package `spaces`.

There CUDA is emulated: weights that are put on it before the page is launched are kept by `spaces`, and a call that is decorated
with `spaces.GPU` runs in a forked process, which gets the card and the weights for the seconds it asked for. The seconds are
charged to the visitor whose request is in the context of the calling thread.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypersd_app.errors import HyperSDError, ModelUnavailable, NoGpu

if TYPE_CHECKING:
    from hypersd_app.engine.plan import Plan

SWITCH = "SPACES_ZERO_GPU"
# Generous guesses, not measured: what is asked for and not used is given back, and who asks for too little is cut off.
START_SECONDS = 6.0  # until the weights are on the card
PASS_SECONDS = {"pocket": 0.02, "sd15": 0.08, "sdxl": 0.3}  # a prediction of one image
OTHER_PASS_SECONDS = 1.0
DECODE_SECONDS = 0.5
MOST_SECONDS = 120.0

_here = threading.local()


def lends_gpu() -> bool:
    """Whether this process runs where GPUs are lent by the call."""
    return os.environ.get(SWITCH, "").lower() in ("1", "t", "true")


def require_spaces() -> None:
    """Import `spaces`, to be done before anything asks for CUDA. Raises ModelUnavailable if it is not installed."""
    if importlib.util.find_spec("spaces") is None:
        raise ModelUnavailable("This Space lends GPUs by the call, which needs the package spaces: add it to requirements.txt.")
    importlib.import_module("spaces")


def borrowing(function: Callable[[list[Plan]], Any]) -> Callable[[list[Plan]], Any] | None:
    """`function` under `spaces.GPU` where GPUs are lent, else None. The call raises NoGpu if it gets none.

    It then runs in a forked process: what goes in and comes out is pickled, and no lock may be held around the call.
    """
    if not lends_gpu() or importlib.util.find_spec("spaces") is None:
        return None
    import spaces

    lent = spaces.GPU(function, duration=seconds_of)

    def call(plans: list[Plan]) -> Any:
        try:
            return lent(plans)
        except HyperSDError:
            raise
        except Exception as error:
            raise _told(error, seconds_of(plans)) from error

    return call


def seconds_of(plans: Sequence[Plan]) -> int:
    """Seconds of a GPU to ask for: until the weights are there, then every image."""
    return round(min(MOST_SECONDS, START_SECONDS + sum(map(drawing_seconds, plans))))


def drawing_seconds(plan: Plan) -> float:
    """Seconds for every prediction of every image of a plan, and for decoding."""
    choice = plan.choice
    each = PASS_SECONDS.get(choice.model.family, OTHER_PASS_SECONDS) * (2 if choice.guided else 1)
    area = choice.width * choice.height / (choice.model.width * choice.model.height)
    return plan.request.num_images * (choice.num_inference_steps * each * area + DECODE_SECONDS)


def calls_of(plans: Sequence[Plan]) -> list[list[Plan]]:
    """`plans`, in order, in as few calls as the longest time allows that a GPU is lent for."""
    calls: list[list[Plan]] = []
    room = 0.0
    for plan in plans:
        seconds = drawing_seconds(plan)
        if not calls or seconds > room:
            calls.append([])
            room = MOST_SECONDS - START_SECONDS
        calls[-1].append(plan)
        room -= seconds
    return calls


def _told(error: Exception, seconds: int) -> Exception:
    """What `spaces` says to people, as an error of ours; other exceptions stay as they are."""
    title, message = getattr(error, "title", ""), getattr(error, "message", "")  # Gradio's kind of error
    if not (title and message):
        return error
    return NoGpu(f"{title}: {str(message).strip()} This would have taken {seconds} s of it; fewer images or steps take less.")


def emulate_here() -> None:
    """Let this thread, too, put weights on the emulated device: `spaces` sees to the thread alone that imports it."""
    if threading.current_thread() is threading.main_thread() or getattr(_here, "emulates", False):
        return
    with suppress(ImportError, AttributeError):  # without it, models other than the first are loaded by the lent call
        importlib.import_module("spaces.zero.torch").enter_mode()
        _here.emulates = True
