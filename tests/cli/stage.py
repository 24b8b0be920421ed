"""A fleet in memory: the real planner on a simulated cluster, and the reports that follow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from rich.console import Console, RenderableType

from roadstead.decide.planner import plan
from roadstead.decide.report import (
    DeploymentStatus,
    Explanation,
    FleetStatus,
    PlanView,
    Service,
    explanation,
    fleet_status,
    grown,
    plan_view,
)
from roadstead.model import (
    ClusterSpec,
    Deployment,
    Fleet,
    ModelSpec,
    Quota,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    StopSpec,
    Template,
)
from roadstead.plans import Plan
from roadstead.spi.host import PluginHost
from roadstead.template import target
from roadstead.testing.driving import Drive
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Node, World
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.servers import Timings

__all__ = ["DAEMON", "OWNER_ID", "Stage", "declared", "fleet_of", "rendered"]

OWNER_ID = "0123456789abcdef"
DAEMON = Service(
    daemon=4711,
    started_at=1_700_000_000_000,
    file="fleet.yaml",
    turn=12,
    bad_file=(),
    staged=False,
    failing_since=None,
    problems=(),
)
_GI = 1024**3
_TIMINGS = Timings(start=Duration(1_000), load=Duration(2_000), stop=Duration(3_000))


def declared(
    name: str = "minilm", *, replicas: int = 2, version: int = 1, source: str = "/models/minilm", **resources: Any
) -> Deployment:
    """Return a deployment of a simulated engine; ``resources`` override 500m CPU and 1Gi."""
    needs = attrs.evolve(Resources(cpu=Cpus(500), memory=Memory(_GI)), **resources)
    template = Template(
        model=ModelSpec(name=name, source=source, version=version),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=needs,
        stop=StopSpec(drain_within=Duration(2_000), kill_after=Duration(5_000)),
    )
    return Deployment(
        name=name,
        owner="search",
        targets=(target("here", template),),
        replicas=replicas,
        rollout=RolloutSpec(progress_deadline=Duration(60_000)),
    )


def fleet_of(*deployments: Deployment, quotas: Mapping[str, Quota] | None = None) -> Fleet:
    """Return a fleet on one simulated cluster."""
    return Fleet(
        name="shop",
        owner_id=OWNER_ID,
        clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
        deployments={one.name: one for one in deployments},
        quotas=quotas if quotas is not None else {"search": Quota(cpu=Cpus(6_000), memory=Memory(16 * _GI))},
    )


class Stage:
    """A cluster of ``nodes`` nodes with two cores and 4Gi each, and the loop that drives ``fleet`` on it."""

    def __init__(self, fleet: Fleet, *, nodes: int = 2) -> None:
        self.clock = VirtualClock()
        network = Network()
        machines = tuple(Node(name=f"node-{one + 1}", cpu=Cpus(2_000), memory=Memory(4 * _GI)) for one in range(nodes))
        self.cluster = SimulatedCluster(
            "here", owner_id=OWNER_ID, nodes=machines, clock=self.clock, network=network, timings=_TIMINGS
        )
        self.drive = Drive(
            fleet=fleet,
            clusters={"here": self.cluster},
            runtimes={"simulated": SimulatedRuntime(network)},
            policies=PluginHost.installed().placement_policies(),
            now=self.clock.now,
        )

    def turn(self) -> FleetStatus:
        """Run a turn, let a second pass, and return the status by that turn."""
        self.drive.turn()
        self.clock.advance(1_000)
        return self.status()

    def until(self, holds: Callable[[FleetStatus], bool]) -> FleetStatus:
        """Run turns until ``holds``, for at most ten virtual minutes."""
        for _ in range(600):
            status = self.turn()
            if holds(status):
                return status
        raise AssertionError(f"not within ten minutes: {self.status()}")

    def look(self) -> tuple[World, Plan]:
        """Return what a turn would see and decide now."""
        world = self.drive.observe()
        return world, self.drive.decide(world)

    def status(self, service: Service = DAEMON) -> FleetStatus:
        """Return how the fleet is now."""
        world, plan = self.look()
        return fleet_status(self.drive.fleet, world, plan, self.clock.now(), service)

    def deployment(self, name: str = "minilm") -> DeploymentStatus:
        """Return how one deployment is now."""
        found = self.status().deployment(name)
        assert found is not None
        return found

    def plan(self) -> PlanView:
        """Return what would be done now."""
        world, made = self.look()
        later = grown(world, made, OWNER_ID)
        then = plan(self.drive.fleet, later, made.memory, self.clock.now(), self.drive.policies)
        return plan_view(self.drive.fleet, world, made, self.clock.now(), then)

    def why(self, name: str = "minilm") -> Explanation:
        """Return why a deployment is as it is now."""
        world, plan = self.look()
        return explanation(self.deployment(name), world, plan, self.clock.now())


def rendered(view: RenderableType, width: int) -> str:
    """Return what stands on a screen without colour of that width, without trailing blanks."""
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, highlight=False, force_terminal=False).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
