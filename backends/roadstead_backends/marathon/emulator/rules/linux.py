"""Rules of what a container or a pod may say of Linux: seccomp, and memory shared between processes (``LinuxInfo``)."""

from __future__ import annotations

from roadstead_backends.marathon.emulator.refusals import Violations
from roadstead_backends.marathon.emulator.rules.documents import Document

__all__ = ["check_container_linux", "check_pod_linux"]


def check_container_linux(info: Document, path: str, found: Violations) -> None:
    """Note a seccomp profile that is not used, or none where one is, and a size of memory that is not the own."""
    seccomp = info.get("seccomp")
    if seccomp is not None:
        named, unconfined = "profileName" in seccomp, seccomp["unconfined"]
        message = "Seccomp unconfined can NOT be true when Profile is defined"
        found.check(not (named and unconfined), f"{path}/seccomp", message)
        message = "Seccomp unconfined must be true when Profile is NOT defined"
        found.check(named or unconfined, f"{path}/seccomp", message)
    _check_shared_memory(info, path, found)


def check_pod_linux(info: Document, path: str, found: Violations) -> None:
    """Note seccomp, which only containers have, and a size of memory that is not the pod's own."""
    message = "Seccomp configuration on executor level is not supported"
    found.check("seccomp" not in info, f"{path}/seccomp", message)
    _check_shared_memory(info, path, found)


def _check_shared_memory(info: Document, path: str, found: Violations) -> None:
    memory = info.get("ipcInfo", {})
    own = memory.get("mode") != "SHARE_PARENT" or "shmSize" not in memory
    found.check(own, f"{path}/ipcInfo", "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT")
