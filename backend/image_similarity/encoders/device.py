"""Choose where a model runs and in which number format, from what the machine has."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from image_similarity.domain.errors import ModelUnavailable

_CPUINFO = Path("/proc/cpuinfo")
# As torch spells them (x86, then ARM), and as Linux does.
_TORCH_BF16 = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")
_LINUX_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
_PRECISIONS = ("bf16", "fp16", "fp32")


def choose_device(requested: str) -> str:
    """Turn "auto", "cuda", "cuda:N", "mps" or "cpu" into a device that is there.

    "auto" takes the first there is of cuda, mps, cpu. Raises ModelUnavailable where a named device is not
    there, or is no device at all: the caller asked for it, so running elsewhere would only hide the mistake.
    """
    if requested == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if requested == "cpu":
        return requested
    if requested == "mps":
        if torch.backends.mps.is_available():
            return requested
    elif match := re.fullmatch(r"cuda(?::(\d+))?", requested):
        if torch.cuda.is_available() and int(match[1] or 0) < torch.cuda.device_count():
            return requested
    else:
        raise ModelUnavailable(f'"{requested}" is no device: use "auto", "cuda", "cuda:N", "mps" or "cpu".')
    raise ModelUnavailable(
        f'The device "{requested}" is not there, or this torch cannot use it: set DEVICE=auto or cpu.'
    )


def choose_precision(requested: str, device: str) -> str:
    """Turn "auto", "bf16", "fp16" or "fp32" into the number format to compute in.

    "auto" takes bf16 where `device` has it in hardware (CUDA from Ampere on; a CPU with AVX512_BF16, AMX or
    ARM's BF16), fp16 on older CUDA devices and on mps, and fp32 otherwise. A named one is taken at its word.
    Raises ModelUnavailable for an unknown name.
    """
    if requested in _PRECISIONS:
        return requested
    if requested != "auto":
        raise ModelUnavailable(f'"{requested}" is no precision: use "auto", "bf16", "fp16" or "fp32".')
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device == "mps":
        return "fp16"
    return "bf16" if _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """Tell whether bf16 is faster than fp32 here: emulated, it is several times slower."""
    # Without oneDNN torch does not use the instructions.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return any(bool(found.get(name)) for name in _TORCH_BF16)
    return not _LINUX_BF16.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    """Read the first processor's flags on Linux; nothing elsewhere."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()
