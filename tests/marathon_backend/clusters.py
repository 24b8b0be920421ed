"""Emulated Marathons as subjects of the kit, and what an administrator and a bad network can do to them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from roadstead.errors import BackendError, Conflict, Forbidden, OutcomeUnknown, Rejected, Retryable
from roadstead.model import Reach, StopSpec
from roadstead.spi.backend import Backend, BackendContext
from roadstead.testing.http_faults import Fault, FaultProxy, Reply, Rule
from roadstead.units import Duration
from roadstead.world import Replica, Snapshot
from roadstead_backends.marathon.connect import connect
from roadstead_backends.marathon.emulator.settings import Settings, profile_named
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated
from roadstead_backends.marathon.options import Containers, MarathonOptions
from tests.proxied import ProxiedSubject

__all__ = ["MarathonSubject", "context_of", "python3_is_ours", "running", "subject_of"]

FLEET = "tests"
PREFIX = "127.81"
SOON = StopSpec(drain_within=Duration(0), kill_after=Duration(2_000))


_MOMENT_S = 0.25
_MOMENTS = 400


@contextlib.contextmanager
def running(profile: str, *, processes: Path | None = None, instances: int = 1) -> Iterator[Emulated]:
    """Run a Marathon of a version that soon sees who is missing; its time is ours where there are processes."""
    settings = Settings(
        profile=profile_named(profile),
        min_revive_offers_interval=100,
        scale_apps_initial_delay=1_000,
        scale_apps_interval=1_000,
    )
    plan = Plan(settings=settings, processes=processes, instances=instances, by_hand=processes is None, prefix=PREFIX)
    with emulated(plan) as found:
        yield found


def context_of(owner_id: str, url: str, root: Path, *, reach: Reach = Reach.DIRECT, path: str = "/") -> BackendContext:
    """Return what the backend is made from, of a cluster whose agents start programs of their own."""
    options = MarathonOptions(urls=(url,), path=path, containers=Containers.NONE)
    return BackendContext(
        cluster="dc1", fleet=FLEET, owner_id=owner_id, options=options, scheduling=None, root=root, reach=reach
    )


@attrs.frozen
class Writes(Rule):
    """A fault of the next request that changes something."""

    def matches(self, method: str, target: str) -> bool:  # noqa: ARG002  # whatever it is about
        """Return whether a request is one."""
        return method in ("POST", "PUT", "DELETE")


def _refusal(status: int, message: str) -> Fault:
    return Reply(status, json.dumps({"message": message}).encode(), {"content-type": "application/json"})


_REFUSALS: dict[type[BackendError], Fault] = {
    Forbidden: _refusal(403, "Not Authorized to perform this action!"),
    Rejected: _refusal(422, "Object is not valid"),
    Retryable: _refusal(403, "Max number (100) of running deployments is achieved. max_running_deployments"),
    Conflict: _refusal(409, "App is locked by one or more deployments."),
    OutcomeUnknown: _refusal(500, "Futures timed out after [10 seconds]"),
}


@attrs.define(kw_only=True)
class MarathonSubject(ProxiedSubject):
    """An emulated Marathon."""

    writes = Writes
    refusals = _REFUSALS

    marathon: Emulated
    stop: StopSpec = SOON
    processes: bool = False

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true; time that stands still is moved on in between."""
        if self.processes:
            return super().until(holds)
        for _ in range(_MOMENTS):
            seen = self.backend.observe()
            if holds(seen):
                return seen
            self.marathon.advance(_MOMENT_S)
        raise AssertionError(f"not within {_MOMENTS} moments; last seen: {self.backend.observe().groups}")

    def crash(self, replica: str) -> None:
        """Kill the process of a task, or have the task fail that only pretends to be one."""
        task = self._replica(replica).incarnation
        if not self.processes:
            self.marathon.control("fail-task", task=task)
            return
        for pid in _running_as(task):
            os.kill(pid, signal.SIGKILL)

    def lose(self, replica: str) -> None:
        """Have an instance forgotten, as an administrator does."""
        self.clear_the_way()
        task = self._replica(replica).incarnation
        self.marathon.ask("POST", "/v2/tasks/delete?wipe=true", {"ids": [task]})
        self.until(lambda seen: all(one.incarnation != task for group in seen.groups for one in group.replicas))

    def clear_the_way(self) -> None:
        """Let Marathon finish what it is doing, so that it answers the next write by doing it."""
        self.until(lambda _: self.marathon.ask("GET", "/v2/deployments") == (200, []))

    def _replica(self, replica: str) -> Replica:
        groups = self.backend.observe().groups
        return next(one for group in groups for one in group.replicas if one.id == replica)


def subject_of(marathon: Emulated, proxy: FaultProxy, root: Path, *, processes: bool = False) -> MarathonSubject:
    """Return a subject for a Marathon."""

    def connected(owner_id: str) -> Backend:
        return connect(context_of(owner_id, proxy.url, root))

    return MarathonSubject(
        cluster="dc1",
        connect=connected,
        marathon=marathon,
        proxy=proxy,
        processes=processes,
        asks_servers=processes,
        patience_s=90.0,
    )


@contextlib.contextmanager
def python3_is_ours() -> Iterator[None]:
    """Have commands that say only `python3` run with this interpreter."""
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def _running_as(task: str) -> Iterator[int]:
    """Yield the processes that were started for a task."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                if f"MESOS_TASK_ID={task}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)
