"""The control groups that a cluster's containers run in, made before and taken away after.

Tried on machines with version 1 of control groups, and with both versions side by side. Version 2 alone is written for,
from its documentation, and was not tried.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster.waiting import until

__all__ = ["make", "present", "remove"]

_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")
_CONTROLLERS: Final = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


def _hierarchies() -> Iterator[tuple[Path, str]]:
    """Yield the mount point and the kind (``cgroup`` or ``cgroup2``) of each hierarchy."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"}:
            yield Path(place), kind


def make(name: str) -> None:
    """Make a group in every hierarchy; ``name`` may have slashes. A group that is there is left as it is."""
    for place, kind in _hierarchies():
        parent = place
        for step in Path(name).parts:
            if kind == "cgroup2":
                _pass_on_controllers(parent)
            group = parent / step
            group.mkdir(exist_ok=True)
            for setting in _INHERITED:
                if kind == "cgroup" and (group / setting).exists() and not (group / setting).read_text().strip():
                    (group / setting).write_text((parent / setting).read_text())
            parent = group


def _pass_on_controllers(group: Path) -> None:
    """Let the groups below have the controllers that this one has (version 2)."""
    for controller in set((group / "cgroup.controllers").read_text().split()) & set(_CONTROLLERS):
        with contextlib.suppress(OSError):  # the root of a container's own hierarchy cannot give what it has not
            (group / "cgroup.subtree_control").write_text(f"+{controller}")


def present(name: str) -> list[Path]:
    """Return the group's folders that are there."""
    return [place / name for place, _ in _hierarchies() if (place / name).is_dir()]


def remove(name: str) -> None:
    """Remove a group and all below it; what ran in it must have ended, though the kernel may be slow to see it."""
    until(lambda: not _left_after_removing(name), what=f"the end of control group {name}")


def _left_after_removing(name: str) -> list[Path]:
    for top in present(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    return present(name)
