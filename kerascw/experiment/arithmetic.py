"""The processor, and the arithmetic that it is fast in, which ``precision: auto`` stands for."""

from functools import cache
from pathlib import Path
from typing import Literal

BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions for bfloat16, as Linux names them. Without either, TensorFlow computes bfloat16 by
way of float32, which takes longer than float32 itself."""


def fast_precision() -> Literal["float32", "mixed_bfloat16"]:
    """Return ``mixed_bfloat16`` where the processor has instructions for it, else ``float32``."""
    return "mixed_bfloat16" if BFLOAT16 & processor_flags() else "float32"


def processor_flags() -> frozenset[str]:
    """Return the processor's instruction sets, as Linux names them; none on other systems."""
    return frozenset(cpuinfo().get("flags", "").split())


@cache
def cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing on other systems."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    first = file.read_text().partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
