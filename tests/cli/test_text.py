"""What stands on the screen, letter by letter, at 80 and at 120 columns.

``ROADSTEAD_GOLDEN=write`` writes the files anew; the difference is then read like any other change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType

from roadstead.act.intents import paused
from roadstead.cli.text.endpoints import endpoints_view
from roadstead.cli.text.limits import limits_view
from roadstead.cli.text.plan import plan_view_text
from roadstead.cli.text.rollout import rollout_view
from roadstead.cli.text.status import changes, progress_table, status_view
from roadstead.cli.text.traffic import load_text
from roadstead.cli.text.why import explanation_view
from roadstead.cli.text.words import age, rough
from roadstead.decide.report import (
    FleetLimits,
    FleetStatus,
    Life,
    LoadStatus,
    Overdue,
    RolloutState,
    Way,
    fleet_limits,
)
from roadstead.model import Intents, Quota, RemoveIntent, ScaleIntent
from roadstead.reasons import ReasonCode
from roadstead.traffic import Latency
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Device
from roadstead_backends.simulated.faults import CallFault, ModelFault
from tests.cli.stage import DAEMON, Stage, behind, declared, fleet_of, reloading, rendered

GOLDEN = Path(__file__).parent / "golden"
GI = 1024**3
TIGHT = {"search": Quota(cpu=Cpus(1_500), memory=Memory(16 * GI), gpu=2000)}


def settled(status: FleetStatus) -> bool:
    """Whether everything in the fleet is as asked."""
    return all(one.state is RolloutState.SETTLED for one in status.deployments)


def held(status: FleetStatus) -> bool:
    """Whether the first deployment is held."""
    return status.deployments[0].state is RolloutState.HELD


def running() -> Stage:
    """Two deployments, settled."""
    stage = Stage(fleet_of(declared(), declared("translate", replicas=1, cpu=Cpus(1_000))))
    stage.until(settled)
    for _ in range(20):
        stage.turn()
    return stage


def over_the_quota() -> Stage:
    """Four wanted, three allowed."""
    stage = Stage(fleet_of(declared(replicas=4), quotas=TIGHT))
    stage.until(held)
    return stage


def out_of_memory() -> Stage:
    """One of two was just killed."""
    stage = running()
    stage.cluster.crash(stage.deployment().replicas[0].id, out_of_memory=True)
    stage.turn()
    return stage


def rejected() -> Stage:
    """A cluster that rejects what it is asked for."""
    stage = Stage(fleet_of(declared(replicas=1)))
    stage.cluster.faults.calls.extend([CallFault.REJECTED] * 3)
    stage.until(lambda one: any(cause.code is ReasonCode.REFUSED for cause in one.deployments[0].causes))
    return stage


def half_updated() -> Stage:
    """A rollout in the middle, told in words of a plan."""
    stage = running()
    stage.drive.fleet = fleet_of(declared(version=2, memory=Memory(2 * GI)), declared("translate", replicas=1))
    return stage


def commanded() -> Stage:
    """One deployment scaled by command, one vanished from the file, one to be deleted."""
    stage = Stage(fleet_of(declared(), declared("vanished"), declared("goes")))
    stage.until(settled)
    intents = Intents(
        scale=(ScaleIntent(deployment="minilm", replicas=3, declared=2),),
        remove=(RemoveIntent(deployment="goes", declared=declared("goes").targets[0].revision),),
    )
    stage.drive.fleet = attrs.evolve(fleet_of(declared(), declared("goes")), intents=intents)
    return stage


def paused_halfway() -> Stage:
    """A rollout that somebody paused when the first of the new replicas was ready."""
    stage = running()
    changed = attrs.evolve(declared(version=2), replicas=2)
    stage.drive.fleet = fleet_of(changed, declared("translate", replicas=1))
    stage.until(lambda status: any(one.current and one.ready for one in status.deployments[0].groups))
    fleet = stage.drive.fleet
    stage.drive.fleet = attrs.evolve(fleet, intents=paused(fleet.intents, changed))
    stage.turn()
    return stage


def rollout_halfway() -> RenderableType:
    """The same, as its own command tells it."""
    status = paused_halfway().turn()
    return rollout_view(status.deployments[0], status.intents)


def bad_file() -> RenderableType:
    """A daemon whose newest file is wrong."""
    service = attrs.evolve(DAEMON, bad_file=("fleet.yaml:3:1: there is no key 'fleett'", "  hint: fleet"), staged=True)
    return status_view(running().status(service))


def failing() -> RenderableType:
    """A daemon whose turns fail since a minute after it started."""
    service = attrs.evolve(
        DAEMON,
        failing_since=1_700_000_060_000,
        problems=("turns fail, nothing is healed: the memory cannot be written: database or disk is full",),
    )
    return status_view(running().status(service))


def silent_cluster() -> RenderableType:
    """A cluster that does not answer."""
    stage = running()
    stage.cluster.faults.partitioned = True
    return status_view(stage.turn())


def nobody() -> RenderableType:
    """A look without a daemon."""
    return status_view(running().status(attrs.evolve(DAEMON, daemon=None, started_at=None)))


def routed() -> Stage:
    """Two deployments behind a gateway, settled, with a request in flight."""
    stage = Stage(behind(declared(), declared("translate", replicas=1, cpu=Cpus(1_000))))
    stage.until(settled)
    for _ in range(20):
        stage.turn()
    stage.proxy.send("minilm", 3_600_000)
    return stage


def draining() -> Stage:
    """A rollout behind a gateway: one replica is out, with requests in flight."""
    stage = routed()
    for _ in range(10):
        stage.proxy.send("minilm", 3_600_000)
    stage.drive.fleet = behind(declared(version=2), declared("translate", replicas=1, cpu=Cpus(1_000)))
    stage.until(lambda one: Life.DRAINING in [two.life for two in one.deployments[0].replicas])
    return stage


def silent_gateway() -> Stage:
    """A gateway that does not answer any more."""
    stage = routed()
    stage.proxy.faults.mute = True
    stage.turn()
    return stage


def refused() -> Stage:
    """A gateway that refuses the newest table in the middle of a rollout, and has a port less than it should."""
    stage = routed()
    stage.proxy.faults.refused = {"minilm"}
    stage.proxy.faults.problems["translate"] = "cannot bind '127.0.0.1:18001': Address already in use"
    stage.drive.fleet = behind(declared(version=2), declared("translate", replicas=1, cpu=Cpus(1_000)))
    stage.until(lambda one: Way.OFFERED in [two.way for two in one.deployments[0].replicas])
    return stage


def shunned() -> Stage:
    """A gateway that sees one of two replicas unhealthy."""
    stage = routed()
    endpoint = stage.look()[0].shards["minilm"].members[0].replica.endpoint
    assert endpoint is not None
    stage.proxy.faults.unhealthy = {endpoint}
    stage.turn()
    return stage


def moved() -> Stage:
    """One deployment gets another port, and one has no gateway any more."""
    stage = routed()
    fleet = behind(declared(), declared("translate", replicas=1, cpu=Cpus(1_000)), port=18042)
    alone = attrs.evolve(fleet.deployments["translate"], via=None)
    stage.drive.fleet = attrs.evolve(fleet, deployments={**fleet.deployments, "translate": alone})
    return stage


def in_place() -> Stage:
    """Two replicas that load another version in place; the first cannot."""
    stage = Stage(fleet_of(reloading(1)))
    stage.drive.usage = stage.cluster.usage
    stage.until(settled)
    stage.cluster.faults.models["/models/minilm/2"] = ModelFault.FAILS
    stage.drive.fleet = fleet_of(reloading(2))
    return stage


def not_loaded() -> Stage:
    """One replica was told to load another version in place, and could not."""
    stage = in_place()
    for _ in range(4):
        stage.turn()
    return stage


def partly_measured() -> Stage:
    """Two deployments on nodes of which one has a GPU with foreign memory; one replica is not measured."""
    stage = running()
    gpu = Device(id="g0", model="A100", memory=Memory(80 * GI), foreign=Memory(3 * GI))
    node = next(one for one in stage.cluster.truth().nodes if one.name == "node-1")
    stage.cluster.set_node(attrs.evolve(node, devices=(gpu,), foreign_cpu=Cpus(250)))
    silent = stage.deployment().replicas[0].id
    stage.drive.usage = lambda: {name: use for name, use in stage.cluster.usage().items() if name != silent}
    return stage


def limits_of(stage: Stage) -> FleetLimits:
    """Return what is shown of limits."""
    world, made = stage.look()
    return fleet_limits(stage.drive.fleet, world, made, stage.clock.now())


SCENES: dict[str, Callable[[], RenderableType]] = {
    "status": lambda: status_view(running().status()),
    "status-verbose": lambda: status_view(running().status(), verbose=True),
    "status-one": lambda: status_view(running().status(), ["translate"]),
    "status-over-quota": lambda: status_view(over_the_quota().status()),
    "status-bad-file": bad_file,
    "status-failing": failing,
    "status-silent-cluster": silent_cluster,
    "status-commanded": lambda: status_view(commanded().turn()),
    "status-paused": lambda: status_view(paused_halfway().turn()),
    "status-without-daemon": nobody,
    "rollout-paused": rollout_halfway,
    "progress": lambda: progress_table(over_the_quota().status().deployments),
    "limits": lambda: limits_view(limits_of(partly_measured())),
    "endpoints": lambda: endpoints_view(running().status().deployments),
    "plan-nothing": lambda: plan_view_text(running().plan()),
    "plan-create": lambda: plan_view_text(Stage(fleet_of(declared())).plan(), verbose=True),
    "plan-replace": lambda: plan_view_text(half_updated().plan()),
    "plan-over-quota": lambda: plan_view_text(over_the_quota().plan(), verbose=True),
    "plan-delete": lambda: plan_view_text(commanded().plan(), verbose=True),
    "plan-routed": lambda: plan_view_text(
        Stage(behind(declared(), declared("translate", replicas=1))).plan(), verbose=True
    ),
    "plan-moved": lambda: plan_view_text(moved().plan(), verbose=True),
    "plan-in-place": lambda: plan_view_text(in_place().plan(), verbose=True),
    "plan-refused": lambda: plan_view_text(refused().plan(), verbose=True),
    "status-routed": lambda: status_view(routed().status()),
    "status-draining": lambda: status_view(draining().status()),
    "status-silent-gateway": lambda: status_view(silent_gateway().status()),
    "status-refused": lambda: status_view(refused().status()),
    "status-rejected": lambda: status_view(rejected().status()),
    "status-shunned": lambda: status_view(shunned().status()),
    "status-not-loaded": lambda: status_view(not_loaded().status()),
    "endpoints-routed": lambda: endpoints_view(routed().status().deployments),
    "endpoints-replicas": lambda: endpoints_view(routed().status().deployments, replicas=True),
    "why-draining": lambda: explanation_view(draining().why()),
    "why-silent-gateway": lambda: explanation_view(silent_gateway().why()),
    "why-refused": lambda: explanation_view(refused().why()),
    "why-port-taken": lambda: explanation_view(refused().why("translate")),
    "why-shunned": lambda: explanation_view(shunned().why()),
    "why-settled": lambda: explanation_view(running().why()),
    "why-over-quota": lambda: explanation_view(over_the_quota().why()),
    "why-rejected": lambda: explanation_view(rejected().why()),
    "why-out-of-memory": lambda: explanation_view(out_of_memory().why()),
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_looks_as_it_did(scene: str, width: int) -> None:
    """The whole screen, compared with the file of that name."""
    text = rendered(SCENES[scene](), width)
    golden = GOLDEN / f"{scene}.{width}.txt"
    if os.environ.get("ROADSTEAD_GOLDEN") == "write":
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("scene", SCENES)
def test_no_line_is_longer_than_the_screen(scene: str, width: int) -> None:
    """Long words go on below; nothing is cut and nothing runs over."""
    assert all(len(line) <= width for line in rendered(SCENES[scene](), width).splitlines())


def test_a_hundred_columns_hold_the_load_of_each_replica() -> None:
    """With names as long as these no line is folded; what does not fit there is where replicas answer."""
    text = rendered(status_view(routed().status()), 100)
    (heads,) = [line for line in text.splitlines() if line.startswith("REPLICA")]
    assert ["REPLICA", "LIFE", "NODE", "CPU", "MEMORY", "REQ/S", "ERR/S", "IN", "FLIGHT", "RESTARTS", "AGE"] == (
        heads.split()
    )
    assert 3 == sum(line.startswith("here.") and "listed" in line for line in text.splitlines())


def test_nothing_is_cut_on_a_narrow_screen() -> None:
    """Long words are folded; the mark of something left out never appears."""
    assert "…" not in rendered(status_view(running().status()), 40)


def test_every_golden_file_belongs_to_a_scene() -> None:
    """A scene that goes takes its files with it."""
    assert sorted(f"{scene}.{width}.txt" for scene in SCENES for width in (80, 120)) == sorted(
        path.name for path in GOLDEN.iterdir()
    )


def test_off_a_terminal_each_change_is_one_line() -> None:
    """What became of a replica and of a deployment, in the order of the life, without repetition."""
    stage = Stage(fleet_of(declared(replicas=1)))
    statuses = [stage.turn()]
    while not settled(statuses[-1]):
        statuses.append(stage.turn())
    pairs = zip([None, *statuses], [*statuses, statuses[-1]], strict=True)
    lines = [line for before, after in pairs for line in changes(before, after)]
    replica = statuses[-1].deployments[0].replicas[0].id
    assert "minilm: progressing, 0/1 serving" == lines[0]
    assert [f"{replica}: slot -> starting", f"{replica}: starting -> listed", "minilm: settled, 1/1 serving"] == [
        line for line in lines if "->" in line or "settled" in line
    ]
    assert [] == changes(statuses[-1], statuses[-1])


def test_off_a_terminal_it_is_told_when_a_gateway_falls_silent_and_comes_back() -> None:
    """A line for each, and none while it stays as it is."""
    stage = routed()
    fine = stage.turn()
    stage.proxy.faults.mute = True
    silent, later = stage.turn(), stage.turn()
    stage.proxy.faults.clear()
    back = stage.turn()
    assert [line for line in changes(fine, silent) if line.startswith("gateway edge: does not answer since")]
    assert "minilm: held, ?/2 serving" in changes(fine, silent)
    assert [] == changes(silent, later)
    assert "gateway edge: up to date" in changes(later, back)


def test_why_tells_the_last_replicas_that_were_stopped_with_requests_in_flight() -> None:
    """The newest three with their moment, and how many there were before."""
    past = tuple(Overdue(at=number * 1_000, replica=f"r{number}", text=f"r{number} was stopped") for number in range(5))
    lines = rendered(explanation_view(attrs.evolve(routed().why(), overdue=past)), 120).splitlines()
    told = [line.removeprefix("  overdue  ") for line in lines if line.startswith("  overdue")]
    assert "2 before that; `roadstead events` has them" == told[0]
    assert [f"1970-01-01 00:00:0{number}Z  r{number} was stopped" for number in (2, 3, 4)] == told[1:]


@pytest.mark.parametrize(
    ("rate", "latency", "expected"),
    [
        (None, None, "? requests/s, 0 errors/s, 7 in flight"),
        (0.0, None, "0 requests/s, 0 errors/s, 7 in flight"),
        (0.01, None, "<0.1 requests/s, 0 errors/s, 7 in flight"),
        (9.96, 0.04, "10 requests/s, 0 errors/s, 7 in flight; p50 <0.1ms, p90 <0.1ms, p99 <0.1ms"),
        (1234.5, 12.3, "1234 requests/s, 0 errors/s, 7 in flight; p50 12ms, p90 12ms, p99 12ms"),
        (60.5, 1234.0, "60.5 requests/s, 0 errors/s, 7 in flight; p50 1.2s, p90 1.2s, p99 1.2s"),
    ],
)
def test_a_load_is_told_in_few_digits(rate: float | None, latency: float | None, expected: str) -> None:
    """What is not known is never 0, and what is there is never 0 either."""
    spread = Latency(p50=latency, p90=latency, p99=latency) if latency is not None else None
    assert expected == load_text(LoadStatus(rate=rate, error_rate=0.0, in_flight=7, latency=spread))


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (0, "0s"),
        (999, "0s"),
        (59_000, "59s"),
        (60_000, "1m"),
        (61_000, "1m1s"),
        (3_600_000, "1h"),
        (90_000_000, "1d1h"),
    ],
)
def test_an_age_is_told_in_its_two_largest_units(ms: int, expected: str) -> None:
    """Short enough for a column, exact enough to compare two."""
    assert expected == age(Duration(ms))


@given(st.integers(min_value=0, max_value=2**60))
def test_a_rough_amount_is_close_to_the_exact_one(amount: int) -> None:
    """Within a tenth, and never 0 for something that is there."""
    text = rough(Memory(amount))
    scales = {"Ti": 1024**4, "Gi": 1024**3, "Mi": 1024**2, "Ki": 1024, "": 1}
    unit = next(one for one in scales if text.endswith(one))
    told = float(text.removesuffix(unit)) * scales[unit] if unit else float(text)
    assert abs(told - amount) <= amount / 10


def test_what_is_unknown_is_a_question_mark() -> None:
    """Unknown use is never shown as 0."""
    assert ("?", "?") == (rough(None), age(None))
