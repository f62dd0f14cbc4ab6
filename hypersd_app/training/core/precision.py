"""What training computes in: bfloat16 where the processor multiplies it itself, else float32.

Emulated bfloat16 is hundreds of times slower than float32 (a matrix product on an AVX2 processor).
"""

from __future__ import annotations

import torch

from hypersd_app.system import has_native_bfloat16

COMPUTE_DTYPE = torch.bfloat16 if has_native_bfloat16() else torch.float32
# Float32 convolutions measured a tenth faster with plain layouts, bfloat16 ones with channels last.
MEMORY_FORMAT = torch.channels_last if torch.bfloat16 == COMPUTE_DTYPE else torch.contiguous_format


def mixed_precision() -> torch.autocast:
    """The context of forward passes: autocast to bfloat16, or nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.bfloat16 == COMPUTE_DTYPE)
