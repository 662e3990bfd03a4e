"""Cores are counted as the kernel would give them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from image_similarity.concurrency.cores import usable_cores, usable_memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 16 cores without cgroups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    return tmp_path


def put(machine: Path, path: str, text: str) -> None:
    (machine / path).parent.mkdir(parents=True, exist_ok=True)
    (machine / path).write_text(text)


def test_without_cgroups_those_it_may_run_on(machine: Path) -> None:
    assert usable_cores(machine) == 16


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 16), ("250000 100000", 3), ("50000 100000", 1), ("x", 16)])
def test_a_container_of_cgroups_2(machine: Path, quota: str, cores: int) -> None:
    put(machine, "proc/self/cgroup", "0::/\n")
    put(machine, "sys/fs/cgroup/cpu.max", quota)
    assert usable_cores(machine) == cores


def test_the_smallest_share_on_the_way_up_counts(machine: Path) -> None:
    put(machine, "proc/self/cgroup", "0::/pod/container\n")
    put(machine, "sys/fs/cgroup/pod/container/cpu.max", "800000 100000")
    put(machine, "sys/fs/cgroup/pod/cpu.max", "400000 100000")
    assert usable_cores(machine) == 4


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("150000", 2)])
def test_cgroups_1(machine: Path, quota: str, cores: int) -> None:
    # In a container the path is the host's, and its own group is the top of what it sees.
    put(machine, "proc/self/cgroup", "5:cpu,cpuacct:/docker/0123\n3:memory:/docker/0123\n")
    put(machine, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota)
    put(machine, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert usable_cores(machine) == cores


def test_there_is_always_one() -> None:
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("groups", "file", "text", "limit"),
    [
        ("0::/\n", "memory.max", "268435456\n", 2**28),
        ("0::/\n", "memory.max", "max\n", None),
        ("7:memory:/\n", "memory/memory.limit_in_bytes", "268435456\n", 2**28),
        ("7:memory:/\n", "memory/memory.limit_in_bytes", "9223372036854771712\n", None),
    ],
)
def test_memory_is_the_limit_of_the_container(
    machine: Path, groups: str, file: str, text: str, limit: int | None
) -> None:
    whole = usable_memory(machine)
    put(machine, "proc/self/cgroup", groups)
    put(machine, f"sys/fs/cgroup/{file}", text)
    assert usable_memory(machine) == (limit or whole)
