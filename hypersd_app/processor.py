"""What the processor can do, for the engine that serves and the stages that train."""

from __future__ import annotations

from pathlib import Path


def has_native_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True if the processor multiplies bfloat16 itself; emulated it is slower than float32."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
