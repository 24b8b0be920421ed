"""A fleet in memory: the real planner on a simulated cluster, and the reports that follow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from rich.console import Console, RenderableType

from roadstead.act.addresses import assigned
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
    GatewaySpec,
    ModelSpec,
    Quota,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    StopSpec,
    Strategy,
    Template,
    Via,
)
from roadstead.plans import Plan
from roadstead.spi.host import PluginHost
from roadstead.template import target
from roadstead.testing.driving import Drive
from roadstead.testing.gateway import SimulatedGateway
from roadstead.testing.proxy import Answer, Proxy
from roadstead.traffic import Endpoint, GatewayView, Latency, RouteLoad, RouteView
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Node, World
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.servers import Timings

__all__ = ["DAEMON", "EDGE", "OWNER_ID", "Stage", "behind", "declared", "fleet_of", "reloading", "rendered"]

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


EDGE = GatewaySpec(name="edge", kind="envoy", address="127.0.0.1", first_port=18000, last_port=18099, options=None)
LATENCY = Latency(p50=4.21, p90=17.3, p99=1210.0)


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


def reloading(version: int) -> Deployment:
    """Return a deployment whose two replicas change their version in place."""
    one = declared(version=version)
    targets = tuple(target("here", its.template, reloads=True) for its in one.targets)
    return attrs.evolve(one, targets=targets, rollout=attrs.evolve(one.rollout, strategy=Strategy.RELOAD))


def fleet_of(*deployments: Deployment, quotas: Mapping[str, Quota] | None = None) -> Fleet:
    """Return a fleet on one simulated cluster."""
    return Fleet(
        name="shop",
        owner_id=OWNER_ID,
        clusters={"here": ClusterSpec(name="here", backend="simulated", options=None)},
        deployments={one.name: one for one in deployments},
        quotas=quotas if quotas is not None else {"search": Quota(cpu=Cpus(6_000), memory=Memory(16 * _GI))},
    )


def behind(*deployments: Deployment, spec: GatewaySpec = EDGE, port: int | None = None) -> Fleet:
    """Return a fleet whose deployments are behind a gateway, the first of them at ``port`` if that is given."""
    via = [Via(gateway=spec.name, port=port), *(Via(gateway=spec.name) for _ in deployments[1:])]
    fleet = fleet_of(*(attrs.evolve(one, via=its) for one, its in zip(deployments, via, strict=True)))
    routed = attrs.evolve(fleet, gateways={spec.name: spec})
    return attrs.evolve(routed, addresses=assigned(routed, {}).addresses)


class Measured(SimulatedGateway):
    """A simulated gateway with a clock: 60 requests per second for each replica, one in a hundred of them an error."""

    def view(self) -> GatewayView:
        """Return what the proxy does now, with what it measures."""
        view = super().view()
        loads = {name: _measured(view.routes[name], load) for name, load in view.loads.items()}
        return attrs.evolve(view, loads=loads)


def _measured(route: RouteView, load: RouteLoad) -> RouteLoad:
    serving = {endpoint for endpoint, passage in route.passages.items() if passage.serving}
    endpoints = {
        endpoint: attrs.evolve(one, rate=60.5, error_rate=0.6) if endpoint in serving else one
        for endpoint, one in load.endpoints.items()
    }
    count = len(serving)
    latency = LATENCY if count else None
    total = attrs.evolve(load.total, rate=60.5 * count, error_rate=0.6 * count, latency=latency)
    return RouteLoad(total=total, endpoints=endpoints)


class Stage:
    """A cluster of ``nodes`` nodes with two cores and 4Gi each, and the loop that drives ``fleet`` on it.

    Where the fleet names gateways, ``proxy`` is what is in the only one of them.
    """

    def __init__(self, fleet: Fleet, *, nodes: int = 2) -> None:
        self.clock = VirtualClock()
        network = Network()
        machines = tuple(Node(name=f"node-{one + 1}", cpu=Cpus(2_000), memory=Memory(4 * _GI)) for one in range(nodes))
        self.cluster = SimulatedCluster(
            "here", owner_id=OWNER_ID, nodes=machines, clock=self.clock, network=network, timings=_TIMINGS
        )
        self.proxy = Proxy(now=self.clock.now, answers=lambda endpoint: _answer(network, endpoint))
        self.drive = Drive(
            fleet=fleet,
            gateways={name: Measured(self.proxy, name) for name in fleet.gateways},
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


def _answer(network: Network, endpoint: Endpoint) -> Answer | None:
    state = network.ask(endpoint, 1)
    return Answer(state.incarnation) if state is not None else None


def rendered(view: RenderableType, width: int) -> str:
    """Return what stands on a screen without colour of that width, without trailing blanks."""
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, highlight=False, force_terminal=False).print(view)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
