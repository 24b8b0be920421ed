"""The same story on this machine and on a simulated cluster, side by side: the same steps, and the same lives."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from roadstead.model import (
    ClusterSpec,
    DaemonSpec,
    Deployment,
    Fleet,
    HealthSpec,
    ModelSpec,
    Resources,
    RuntimeSpec,
    StopSpec,
    Template,
    Variable,
)
from roadstead.plans import Plan, Step
from roadstead.spi.backend import Backend
from roadstead.spi.runtime import Launch, Program, Runtime, Server
from roadstead.template import target
from roadstead.testing.driving import Drive
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import ModelState, ModelStatus, Node, Phase, Replica, World
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.tempers import Timings
from roadstead_plugins.placement.plugin import Spread
from tests.local.conftest import PORT, OpenCluster, answers, ask

TURN_MS = 200
PASSING = frozenset({"starting", "running"})
"""Where a replica may be between two looks."""


class AnsweringRuntime:
    """The servers of these tests: whoever answers has the model."""

    def check(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """Return that any template will do."""
        return ()

    def launch(self, template: Template) -> Launch:  # noqa: ARG002
        """Return how the server of these tests is started."""
        return Launch(program=Program(executable="server"), args=("$(HOST)", str(PORT)), rest_port=PORT)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:  # noqa: ARG002
        """Ask for anything."""
        if answers(server.endpoint.host) is None:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error="no answer")
        return ModelState(status=ModelStatus.AVAILABLE, incarnation=server.incarnation, versions=(1,))

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Change nothing."""

    def close(self) -> None:
        """Release nothing."""


@attrs.define(kw_only=True)
class Side:
    """One of the two: a loop over a cluster, and everything that it did and saw, under names that both have.

    Groups are called A, B and so on, replicas A1, A2 and so on, in the order in which they were first seen.
    """

    drive: Drive
    wait: Callable[[], None]
    kill: Callable[[Replica], None]
    steps: list[str] = attrs.field(factory=list)
    lives: dict[str, list[str]] = attrs.field(factory=dict)
    _groups: dict[str, str] = attrs.field(factory=dict)
    _replicas: dict[str, str] = attrs.field(factory=dict)

    def until_settled(self, within: int = 300) -> World:
        """Make turns until nothing was done in five of them and two replicas are ready, and nothing else is there."""
        still = 0
        for _ in range(within):
            decided = self.drive.turn()
            world = self.drive.observe()
            self._see(world, decided)
            shard = world.shards["minilm"]
            still = still + 1 if not decided.steps and len(shard.ready) == len(shard.members) == 2 else 0
            if still == 5:
                return world
            self.wait()
        raise AssertionError(f"not settled within {within} turns: {self.steps}, {self.lives}")

    def _see(self, world: World, decided: Plan) -> None:
        seen: dict[str, str] = {}
        for member in world.shards["minilm"].members:
            group = self._groups.setdefault(member.group.key.revision, "ABCDEFG"[len(self._groups)])
            number = sum(name.startswith(group) for name in self._replicas.values()) + 1
            name = self._replicas.setdefault(member.replica.id, f"{group}{number}")
            seen[name] = "ready" if member.ready else member.replica.phase.value
        for name in self.lives.keys() | seen.keys():
            life = self.lives.setdefault(name, [])
            now = seen.get(name, "gone")
            if not life or life[-1] != now:
                life.append(now)
        self.steps += [self._told(step) for step in decided.steps]

    def _told(self, step: Step) -> str:
        subject = self._replicas.get(step.subject)
        if subject is None:
            subject = next((name for revision, name in self._groups.items() if revision in step.subject), "new")
        counts = [str(getattr(step, name)) for name in ("was", "target") if hasattr(step, name)]
        return f"{type(step).__name__.lower()} {subject} {'-'.join(counts)}".rstrip()


def fleet(source: str, revision: str) -> Fleet:
    """Return a fleet of two replicas; another ``revision`` is another one."""
    template = Template(
        model=ModelSpec(name="minilm", source=source),
        runtime=RuntimeSpec(name="answering"),
        resources=Resources(cpu=Cpus(100), memory=Memory(2**26)),
        env=(Variable("REVISION", revision),),
        health=HealthSpec(start_within=Duration(60_000), every=Duration(TURN_MS), failures=2),
        stop=StopSpec(drain_within=Duration(2 * TURN_MS), kill_after=Duration(5_000)),
    )
    deployment = Deployment(name="minilm", owner="search", targets=(target("here", template),), replicas=2)
    return Fleet(
        name="tests",
        clusters={"here": ClusterSpec(name="here", backend="any", options=None)},
        deployments={"minilm": deployment},
        owner_id=OWNER_ID,
        daemon=DaemonSpec(turn=Duration(TURN_MS)),
    )


def drive(backend: Backend, runtime: Runtime, now: Callable[[], int], first: Fleet) -> Drive:
    """Return a loop over one cluster."""
    return Drive(
        fleet=first, clusters={"here": backend}, runtimes={"answering": runtime}, policies={"spread": Spread()}, now=now
    )


def told(side: Side, source: str) -> None:
    """Tell the story: two replicas come up, they are rolled, one of them is killed."""
    side.until_settled()
    side.drive.fleet = fleet(source, "two")
    world = side.until_settled()
    hit = min(world.shards["minilm"].members, key=lambda one: one.replica.id).replica
    side.kill(hit)
    world = side.until_settled()
    restarts = {member.replica.id: member.replica.restarts for member in world.shards["minilm"].members}
    assert {hit.id: 1} == {name: count for name, count in restarts.items() if count}


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_simulated_cluster_does_what_this_machine_does(
    open_cluster: OpenCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Create two, roll, kill one: step for step the same, and each replica lives through the same, but for moments."""
    (tmp_path / "minilm" / "1").mkdir(parents=True)
    (tmp_path / "minilm" / "1" / "saved_model.pb").write_bytes(b"weights")
    source, pause, clock, network = str(tmp_path / "minilm"), threading.Event(), VirtualClock(), Network()
    local = open_cluster().backend
    real = Side(
        drive=drive(local, AnsweringRuntime(), lambda: time.time_ns() // 1_000_000, fleet(source, "one")),
        wait=lambda: void(pause.wait(TURN_MS / 1000)),
        kill=lambda one: os.kill(int(ask(host(one), "pid")), signal.SIGKILL),
    )
    pretended = SimulatedCluster(
        "here",
        owner_id=OWNER_ID,
        nodes=[Node(name="n", cpu=Cpus(4_000), memory=Memory(2**33))],
        clock=clock,
        network=network,
        timings=Timings(start=Duration(300), load=Duration(100), stop=Duration(300)),
    )
    simulated = Side(
        drive=drive(pretended, SimulatedRuntime(network), clock.now, fleet(source, "one")),
        wait=lambda: clock.advance(TURN_MS),
        kill=lambda one: pretended.crash(one.id),
    )
    for side in (real, simulated):
        told(side, source)
    same = sum(real.lives[name] == life for name, life in simulated.lives.items() if name in real.lives)
    assert simulated.steps == real.steps
    with capsys.disabled():
        print(f"\nthe same steps: {', '.join(real.steps)}")  # noqa: T201  # how far they agree
        for name, life in real.lives.items():
            print(f"{name}: {' '.join(life)} | simulated: {' '.join(simulated.lives[name])}")  # noqa: T201
        print(f"lives that are the same look for look: {same} of {len(real.lives)}")  # noqa: T201
    assert {name: lasting(life) for name, life in simulated.lives.items()} == {
        name: lasting(life) for name, life in real.lives.items()
    }
    assert {"A1", "A2", "B1", "B2"} == real.lives.keys()


def lasting(life: list[str]) -> list[str]:
    """Return a life without what a look may miss."""
    kept = [one for one in life if one not in PASSING]
    return [one for number, one in enumerate(kept) if number == 0 or kept[number - 1] != one]


def host(replica: Replica) -> str:
    """Return a replica's address."""
    assert replica.endpoint is not None
    assert replica.phase is Phase.RUNNING
    return replica.endpoint.host


def void(_: object) -> None:
    """Return nothing."""
