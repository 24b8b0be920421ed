"""What a machine needs before a cluster can be started on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from tests.cluster import binary, packages
from tests.cluster.places import cache_folder

__all__ = ["lacking", "lacking_for_good", "lacking_of_machine"]

_PROGRAMS: Final = ("ip", "unshare", "nsenter", "mount")
_CAPABILITIES: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_HIDDEN: Final = ("/run", "/var/lib", "/var/log")


def lacking() -> str | None:
    """Return what keeps a cluster from being started just now, in one line, or ``None``."""
    never = lacking_for_good()
    if never is not None:
        return never
    if binary.built() is None:
        going_on = (
            "yet: that is going on" if binary.is_being_built() else "(make test-kubernetes does it, in 12 minutes)"
        )
        return f"the components of Kubernetes are not built {going_on}"
    if packages.fetched() is None:
        return "containerd and what goes with it were not fetched (make test-kubernetes does it)"
    return None


def lacking_for_good() -> str | None:
    """Return what keeps a cluster from being started even after ``python -m tests.cluster build``, or ``None``."""
    machine = lacking_of_machine()
    if machine is not None:
        return machine
    to_build = binary.lacking_to_build() if binary.built() is None else None
    if to_build is not None:
        return f"the components of Kubernetes are not built, and cannot be: {to_build}"
    return packages.lacking_to_fetch() if packages.fetched() is None else None


def lacking_of_machine() -> str | None:
    """Return what this machine, or who runs this on it, can never do, or ``None``."""
    if os.geteuid() != 0:
        return f"root is needed to make namespaces and control groups, and this is user {os.geteuid()}"
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    for name, bit in _CAPABILITIES.items():
        if not effective >> bit & 1:
            return f"{name} is missing"
    for program in _PROGRAMS:
        if shutil.which(program) is None:
            return f"the program {program} is not on PATH"
    for hidden in _HIDDEN:
        if cache_folder().resolve().is_relative_to(hidden):
            return f"the cache {cache_folder()} is below {hidden}, which nodes have their own of; set XDG_CACHE_HOME"
    return None
