"""Chooses the device and the number format of a model by the hardware of the machine."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from image_similarity.domain.errors import ModelUnavailable

_CPUINFO = Path("/proc/cpuinfo")
# Names of torch (x86, then ARM), and of Linux.
_TORCH_BF16 = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")
_LINUX_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
_PRECISIONS = ("bf16", "fp16", "fp32")


def choose_device(requested: str) -> str:
    """Return an existing device for "auto", "cuda", "cuda:N", "mps" or "cpu".

    "auto" takes the first available of cuda, mps, cpu. Raises ModelUnavailable if a named device is unknown or not
    available: the caller asked for it, so running elsewhere would hide the mistake.
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
    """Return the number format to compute in for "auto", "bf16", "fp16" or "fp32".

    "auto" takes bf16 if `device` has it in hardware (CUDA from Ampere on; a CPU with AVX512_BF16, AMX or ARM's BF16),
    fp16 on older CUDA devices and on mps, and fp32 otherwise. A named format is returned unchecked. Raises
    ModelUnavailable for an unknown name.
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
    """Return whether bf16 is faster than fp32 on this CPU; emulated bf16 is several times slower."""
    # Without oneDNN, torch does not use the bf16 instructions.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is not None:
        found = capabilities()
        return any(bool(found.get(name)) for name in _TORCH_BF16)
    return not _LINUX_BF16.isdisjoint(_cpu_flags())


def _cpu_flags() -> frozenset[str]:
    """Return the flags of the first processor on Linux; an empty set on other systems."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()
