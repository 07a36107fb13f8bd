"""The arithmetic that this machine's processor is fast in, which ``precision: auto`` stands for."""

from functools import cache
from pathlib import Path
from typing import Literal

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions for bfloat16, as Linux names them. Without either, TensorFlow computes bfloat16 by
way of float32, which takes longer than float32 itself."""


def fast_precision() -> Literal["float32", "mixed_bfloat16"]:
    """Return ``mixed_bfloat16`` where the processor has instructions for it, else ``float32``."""
    return "mixed_bfloat16" if BFLOAT16 & processor_flags() else "float32"


@cache
def processor_flags() -> frozenset[str]:
    """Return the processor's instruction sets, as Linux names them; none on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            name, _, flags = line.partition(":")
            if name.strip() == "flags":
                return frozenset(flags.split())
    return frozenset()
