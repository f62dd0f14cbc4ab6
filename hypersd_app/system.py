"""What this machine has: memory and processor features. Imports no torch, so the server can ask too."""

from __future__ import annotations

import ctypes
import functools
import io
import sys
from contextlib import suppress
from pathlib import Path

import psutil

# Options of glibc's `mallopt`, from malloc.h.
ARENA_MAX = -8  # the number of heaps
MMAP_MAX = -4  # how many blocks may be mapped on their own
TOP_PAD = -2  # bytes to ask for beyond what is needed when a heap grows
TRIM_THRESHOLD = -1  # free bytes at a heap's top above which they are returned; -1 means never
GROWTH = 64 * 2**20


def print_anything() -> None:
    """A console that lacks a character (cp1252, ASCII) shows a stand-in for it, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def available_bytes() -> int:
    """Free memory of the machine, less if a container allows less."""
    free = int(psutil.virtual_memory().available)
    container = container_bytes()
    return free if container is None else min(free, container)


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this process has had since it began, or since `reset_peak`; 0 where the system does not say."""
    return _kilobytes(status, "VmHWM") * 1024


def reset_peak(clear: Path = Path("/proc/self/clear_refs")) -> None:
    """Begin `peak_bytes` anew, where the system can."""
    with suppress(OSError):
        clear.write_text("5", encoding="ascii")


def _kilobytes(status: Path, name: str) -> int:
    try:
        lines = status.read_text(encoding="ascii", errors="ignore").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
    except (OSError, StopIteration, ValueError):
        return 0


def container_bytes(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the container still allows, None where it sets no limit."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)


def share_one_heap() -> None:
    """Let all threads of this process allocate from one heap; to be called before they start.

    glibc gives each thread its own, and each keeps what the images drawn on that thread freed: a process whose threads
    take turns grows with every one that takes its first.
    """
    set_option = getattr(c_library(), "mallopt", None)
    if set_option is not None:
        set_option(ARENA_MAX, 1)


def keep_freed_memory() -> bool:
    """Let the allocator reuse large blocks instead of returning them to the system; False where it is not glibc.

    By default glibc maps every block above 32 MiB afresh and unmaps it when freed, so that a training step pays a page
    fault per 4 KiB of every large tensor, step after step. The process keeps its peak memory from then on: right for
    training, wrong for a server. To be called before the first large allocation.
    """
    set_option = getattr(c_library(), "mallopt", None)
    if set_option is None:
        return False
    options = ((MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, GROWTH))
    return bool(sum(set_option(option, value) for option, value in options) == len(options))  # each answers 1 if it took effect


@functools.cache
def c_library() -> ctypes.CDLL | None:
    """The C library, where it may be glibc."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def has_native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True if the processor multiplies bfloat16 itself; emulated it is slower than float32."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
