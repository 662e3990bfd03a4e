"""How many processor cores and how much memory this process may use: in a container less than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may run on, or its cgroups' CPU quota if that is less; at least 1.

    `root` is where /proc and /sys are found.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def usable_memory(root: Path = Path("/")) -> int:
    """Return the memory in bytes: the machine's, or the limit of the cgroups if that is less.

    `root` is where /proc and /sys are found.
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_memory_limits(root)])


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quota, in cores, of each cgroup above this process; reads version 1 and 2 of cgroups."""
    for group in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            if quota != "max":
                yield int(quota) / int(period)
        with suppress(OSError, ValueError):
            quota = (group / "cpu.cfs_quota_us").read_text()
            if int(quota) > 0:
                yield int(quota) / int((group / "cpu.cfs_period_us").read_text())


def _memory_limits(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            # "max" is not a number: there is no limit.
            with suppress(OSError, ValueError):
                yield int((group / name).read_text())


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the cgroups above this process whose `controller` may limit it (version 1 or 2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        folder = top / path.lstrip("/")
        # A container may see only its own group, and /proc names it by a path that exists on the host alone.
        for place in {folder, *folder.parents} if folder.exists() else {top}:
            if place.is_relative_to(top):
                yield place
