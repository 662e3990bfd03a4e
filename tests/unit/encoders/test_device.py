"""Which device and precision are chosen on which machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from image_similarity.domain.errors import ModelUnavailable
from image_similarity.encoders import device
from image_similarity.encoders.device import choose_device, choose_precision


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let torch believe it runs on another machine."""

    def pretend(*, cuda_devices: int = 0, cuda_bf16: bool = False, mps: bool = False, **cpu: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda_devices > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda_devices)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: cuda_bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: cpu.pop("onednn", True))
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu, raising=False)

    return pretend


@pytest.fixture
def cpuinfo(machine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Take away torch's own report, as older ones lack it, and put a text where Linux describes its CPU."""
    machine()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(device, "_CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


@pytest.mark.parametrize(
    ("has", "expected"),
    [({"cuda_devices": 1, "mps": True}, "cuda"), ({"mps": True}, "mps"), ({}, "cpu")],
)
def test_auto_takes_the_fastest_device_there_is(machine: Any, has: dict[str, Any], expected: str) -> None:
    machine(**has)

    assert choose_device("auto") == expected


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_named_device_is_taken_where_it_is_there(machine: Any, name: str) -> None:
    machine(cuda_devices=2, mps=True)

    assert choose_device(name) == name


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_named_device_that_is_not_there_is_an_error_not_a_slower_device(machine: Any, name: str) -> None:
    machine()

    with pytest.raises(ModelUnavailable, match=f'"{name}" is not there'):
        choose_device(name)


def test_a_cuda_device_beyond_the_last_is_not_there(machine: Any) -> None:
    machine(cuda_devices=2)

    with pytest.raises(ModelUnavailable, match='"cuda:2" is not there'):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "CPU", "cuda:", "cuda:x"])
def test_a_name_that_is_no_device_is_told_so(name: str) -> None:
    with pytest.raises(ModelUnavailable, match="is no device"):
        choose_device(name)


@pytest.mark.parametrize(
    ("where", "has", "expected"),
    [
        ("cuda", {"cuda_devices": 1, "cuda_bf16": True}, "bf16"),
        ("cuda:1", {"cuda_devices": 2, "cuda_bf16": True}, "bf16"),
        ("cuda", {"cuda_devices": 1}, "fp16"),
        ("mps", {"mps": True}, "fp16"),
        ("cpu", {"avx512_bf16": True}, "bf16"),
        ("cpu", {"amx_bf16": True}, "bf16"),
        ("cpu", {"architecture": True, "bf16": True}, "bf16"),
        ("cpu", {"avx512_f": True, "avx512_bf16": False}, "fp32"),
        ("cpu", {"avx2": True}, "fp32"),
        ("cpu", {"bf16": True, "onednn": False}, "fp32"),
    ],
)
def test_auto_takes_the_precision_the_hardware_is_fast_in(
    machine: Any, where: str, has: dict[str, Any], expected: str
) -> None:
    machine(**has)

    assert choose_precision("auto", where) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16 clzero\n", "bf16"),
        ("processor : 0\nflags\t\t: fpu amx_bf16\n", "bf16"),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", "bf16"),
        ("processor : 0\nflags\t\t: fpu avx512f\n", "fp32"),
        ("model name : the bf16 machine\n", "fp32"),
    ],
)
def test_linux_is_asked_where_torch_cannot_tell(cpuinfo: Path, text: str, expected: str) -> None:
    cpuinfo.write_text(text)

    assert choose_precision("auto", "cpu") == expected


def test_fp32_where_nobody_can_tell(cpuinfo: Path) -> None:
    assert not cpuinfo.exists()
    assert choose_precision("auto", "cpu") == "fp32"


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_a_named_precision_is_taken_at_its_word(machine: Any, precision: str) -> None:
    machine()

    assert choose_precision(precision, "cpu") == precision


def test_an_unknown_precision_is_told_so() -> None:
    with pytest.raises(ModelUnavailable, match="is no precision"):
        choose_precision("int4", "cpu")


def test_this_machine_has_a_device_and_a_precision() -> None:
    chosen = choose_device("auto")

    assert chosen in {"cuda", "mps", "cpu"}
    assert choose_precision("auto", chosen) in {"bf16", "fp16", "fp32"}
