"""What servers count of their own requests, in a status and on the screen."""

from __future__ import annotations

import json

import attrs
from rich.console import RenderableType

from roadstead.cli.text.status import status_view
from roadstead.decide.report import DeploymentStatus, FleetStatus, RolloutState, ServerLoadStatus, fleet_status
from roadstead.traffic import MeanLoad, ServerLoad, ServerReading
from roadstead.units import Duration
from roadstead.wire import to_wire
from roadstead.world import World
from tests.cli.stage import DAEMON, Stage, behind, declared, fleet_of, rendered

MEANS = (
    MeanLoad(rate=30.0, error_rate=0.0, latency=10.0, in_flight=0.3),
    MeanLoad(rate=12.0, error_rate=2.0, latency=50.0, in_flight=0.5),
)
UNKNOWN = ServerLoadStatus(replicas=0, rate=None, error_rate=None, latency=None, in_flight=None, age=None)


def _measured(stage: Stage, *means: MeanLoad | None, incarnation: str | None = None) -> FleetStatus:
    """Return how the fleet is, its replicas read one after the other within the last seconds."""
    world, plan = stage.look()
    now = stage.clock.now()
    members = world.shards["minilm"].members
    readings = {
        member.replica.id: ServerReading(
            incarnation=incarnation or member.replica.incarnation,
            at=now - 1_000 * (number + 2),
            counted=ServerLoad(ok=100, failed=1, latency=1_000.0),
            seconds=5.0,
            mean=mean,
        )
        for number, (member, mean) in enumerate(zip(members, means, strict=False))
    }
    seen: World = attrs.evolve(world, server_loads=readings)
    return fleet_status(stage.drive.fleet, seen, plan, now, DAEMON)


def _staged(*, routed: bool = False) -> Stage:
    """Return a stage with one deployment of two replicas, settled."""
    stage = Stage((behind if routed else fleet_of)(declared()))
    stage.until(lambda status: _minilm(status).state is RolloutState.SETTLED)
    return stage


def _minilm(status: FleetStatus) -> DeploymentStatus:
    (found,) = status.deployments
    return found


def test_a_deployment_has_the_load_of_its_servers_together() -> None:
    """Rates add up, the latency is that of one request, and the age is that of the oldest reading."""
    found = _minilm(_measured(_staged(), *MEANS))
    together = ServerLoadStatus(replicas=2, rate=42.0, error_rate=2.0, latency=20.0, in_flight=0.8, age=Duration(3_000))
    assert together == found.server_load
    assert [30.0, 12.0] == [one.server_load.rate for one in found.replicas]
    assert [Duration(2_000), Duration(3_000)] == [one.server_load.age for one in found.replicas]


def test_a_server_that_does_not_say_is_unknown_and_not_idle() -> None:
    """The deployment's load says of how many servers it is; one read only once has no rate yet."""
    found = _minilm(_measured(_staged(), MEANS[0], None))
    assert (1, 30.0) == (found.server_load.replicas, found.server_load.rate)
    assert UNKNOWN == found.replicas[1].server_load
    assert UNKNOWN == _minilm(_measured(_staged())).server_load
    wire = json.loads(json.dumps(to_wire(found.replicas[1].server_load)))
    assert {"rate": None, "latency": None, "replicas": 0}.items() <= wire.items()


def test_what_a_process_said_does_not_count_for_the_next_one() -> None:
    """A replica that was restarted begins anew."""
    assert UNKNOWN == _minilm(_measured(_staged(), *MEANS, incarnation="an-earlier-one")).server_load


def test_the_load_of_a_deployment_stands_on_the_screen_and_that_of_each_server_where_it_was_asked_for() -> None:
    """On the overview only where something is known; with a name also that nothing is."""
    status = _measured(_staged(), *MEANS)
    replicas = [one.id for one in _minilm(status).replicas]
    head = "SERVERS' OWN COUNT SAY SO REQ/S ERR/S IN FLIGHT MEAN READ"
    total = "minilm 2/2 42 2 0.8 20ms 3s ago"
    assert [head, total] == _table(status_view(status))
    assert [
        head,
        total,
        f"{replicas[0]} 30 0 0.3 10ms 2s ago",
        f"{replicas[1]} 12 2 0.5 50ms 3s ago",
    ] == _table(status_view(status, ["minilm"]))

    unknown = _measured(_staged())
    assert "OWN COUNT" not in rendered(status_view(unknown), 80)
    assert "minilm 0/2 ? ? ? ? never" == _table(status_view(unknown, ["minilm"]))[1]


def test_the_gateways_numbers_come_first() -> None:
    """What clients see is measured where they connect; the servers' own word is second."""
    text = rendered(status_view(_measured(_staged(routed=True), *MEANS), ["minilm"]), 120)
    assert text.index("127.0.0.1:18000") < text.index("\nREPLICA ") < text.index("SERVERS' OWN COUNT")


def _table(view: RenderableType) -> list[str]:
    """Return the lines of the table of what servers count, a blank between two cells."""
    lines = [" ".join(line.split()) for line in rendered(view, 80).splitlines()]
    rows = lines[next(number for number, line in enumerate(lines) if line.startswith("SERVERS' OWN COUNT")) :]
    return rows[: rows.index("")] if "" in rows else rows
