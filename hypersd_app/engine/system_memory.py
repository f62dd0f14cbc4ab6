"""How much memory the machine has left, without torch: the server asks too."""

from __future__ import annotations

from pathlib import Path

FALLBACK = 8 * 2**30  # where the system does not say


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Free memory of the machine, less if a container allows less."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return FALLBACK
    return min(free, container_bytes() or free)


def container_bytes(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the container still allows, None where it sets no limit."""
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)
