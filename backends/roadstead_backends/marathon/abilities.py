"""What a Marathon can do, by its version and features. Pure."""

from __future__ import annotations

from typing import Final

from roadstead.capabilities import Capabilities, Engine, GpuKind, Limit
from roadstead.model import Scheduling
from roadstead_backends.marathon.messages import Info
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.sources import SCHEMES, UNDIGESTED

__all__ = ["OLDEST", "capabilities", "release"]

OLDEST: Final = (1, 8)
"""The first release whose instances outlive their tasks, and that says what is wrong with a request in our terms."""

_GPUS: Final = "gpu_resources"
_EMULATED: Final = "it is emulated: no time that is taken here is one of a real Marathon"


def release(version: str) -> tuple[int, int]:
    """Return the release that a version is of; nothing that can be read is the oldest of all.

    >>> release("1.11.26"), release("1.8.243-dev"), release("")
    ((1, 11), (1, 8), (0, 0))
    """
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isdecimal() for part in parts[:2]):
        return 0, 0
    return int(parts[0]), int(parts[1])


def capabilities(
    options: MarathonOptions, info: Info | None, notes: tuple[str, ...] = (), *, emulated: bool = False
) -> Capabilities:
    """Return what a Marathon can do that says this of itself; ``None`` while nobody has asked it."""
    gives_gpus = (
        info is not None and _GPUS in info.marathon_config.features and options.containers is not Containers.DOCKER
    )
    return Capabilities(
        scheduling=frozenset({Scheduling.NATIVE}),
        exact_retire=True,
        heals_alone=True,
        metadata_restarts=True,
        locks=True,
        evicts=True,
        reverts=True,
        reports_ready=True,
        gpu=frozenset({GpuKind.WHOLE}) if gives_gpus else frozenset(),
        gpu_models=options.gpu_attribute is not None,
        gpu_memory=False,
        cpu_limit=Limit.SHARES,
        memory_limit=Limit.CGROUP,
        engine=Engine.PROCESS if options.containers is Containers.NONE else Engine.IMAGE,
        schemes=SCHEMES,
        undigested=UNDIGESTED,
        matches=True,
        roots=options.model_roots,
        version=info.version if info is not None else "",
        emulated=emulated,
        notes=(*notes, *_notes(info), *((_EMULATED,) if emulated else ())),
    )


def _notes(info: Info | None) -> tuple[str, ...]:
    found = [
        "any change of an app but its count restarts all its servers, so owner and generation stay as it was made with",
        "it holds a cap of spread within each revision: while two are side by side, a place may have as many of each",
        "two writers are found out and not kept apart: Marathon cannot compare before it changes",
    ]
    if info is not None and release(info.version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        found.append(f"Marathon {info.version} is older than {oldest}, the oldest that this backend can be used with")
    return tuple(found)
