"""The production plan in virtual time: what each event does to a fleet, and that it is the same every time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.bench.scenario import (
    Action,
    ChangeFile,
    CrashServers,
    DaemonAway,
    Partition,
    Scale,
    SilenceNode,
    Trouble,
)
from roadstead.bench.simulation import simulate
from roadstead.spi.host import resolve
from roadstead.spi.simulation import ModelFault
from roadstead.units import Duration
from tests.bench.scenes import FLEET, HOST, PLUGIN, account, fleet, log, said, scenario, simulated

BUSY = """\
load:
  anchor: {service_time: 50ms, parallel: 2, steps: [{at: 0s, rate: 10}, {at: 5m, rate: 60}, {at: 20m, rate: 0}]}
  buoy: {service_time: 100ms, rate: 5}
events:
  - {at: 3m, silence_node: node-2, cluster: here, for: 4m}
  - {at: 6m, crash: buoy, count: 2, out_of_memory: true}
  - {at: 8m, change: anchor, version: 2}
  - {at: 12m, partition: there, for: 2m}
  - {at: 16m, kill_daemon: true, for: 1m, forgets: true}
  - {at: 20m, scale: buoy, replicas: 1}
"""


class TestRepeatable:
    """The same files, version and seed."""

    def test_the_same_seed_gives_the_same_events_byte_for_byte(self, tmp_path: Path) -> None:
        """Twice in one process."""
        told = scenario(tmp_path, BUSY)
        first, second = (log(simulated(fleet(tmp_path), told, seed=3)) for _ in range(2))
        assert first == second

    def test_it_does_not_depend_on_how_a_process_hashes(self, tmp_path: Path) -> None:
        """Nor on anything else that differs from one process to the next."""
        told = scenario(tmp_path, BUSY)
        (tmp_path / "fleet.yaml").write_text(FLEET, encoding="utf-8")
        command = [sys.executable, "-m", "roadstead", "sim", "-f", "fleet.yaml", "--scenario", "scenario.yaml"]
        environment = {**os.environ, "PYTHONHASHSEED": "1"}
        subprocess.run(
            [*command, "--seed", "3", "--events", "events.jsonl", "-q"],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            timeout=50,
        )
        written = (tmp_path / "events.jsonl").read_text(encoding="utf-8").rstrip("\n")
        assert log(simulated(fleet(tmp_path), told, seed=3)) == written

    def test_another_seed_gives_other_times(self, tmp_path: Path) -> None:
        """What varies by chance varies with it."""
        told = scenario(tmp_path, BUSY, clusters="clusters: {here: {vary: 90, load: 60s}, there: {}}\n")
        assert log(simulated(fleet(tmp_path), told, seed=1)) != log(simulated(fleet(tmp_path), told, seed=2))

    def test_turns_that_are_left_out_would_have_changed_nothing(self, tmp_path: Path) -> None:
        """Every event and every count is the same as when none is left out, and far fewer turns are made."""
        told = attrs.evolve(scenario(tmp_path, BUSY), load={})
        leaping = simulated(fleet(tmp_path), told)
        walking = simulated(fleet(tmp_path), told, every_turn=True)
        assert attrs.evolve(walking, turns=0) == attrs.evolve(leaping, turns=0)
        assert leaping.turns < walking.turns == 30 * 60 // 5 + 1 - 12


_AT = st.integers(0, 1_500).map(lambda seconds: Duration(seconds * 1000))
_WHILE = st.none() | st.integers(1, 400).map(lambda seconds: Duration(seconds * 1000))
_NAME = st.sampled_from(["anchor", "buoy"])
_EVENTS: st.SearchStrategy[Action] = st.one_of(
    st.builds(
        SilenceNode, at=_AT, silence_node=st.sampled_from(["node-1", "node-2"]), cluster=st.just("here"), lasts=_WHILE
    ),
    st.builds(Partition, at=_AT, partition=st.sampled_from(["here", "there"]), lasts=_WHILE),
    st.builds(CrashServers, at=_AT, crash=_NAME, count=st.integers(1, 3), out_of_memory=st.booleans()),
    st.builds(Trouble, at=_AT, trouble=_NAME, how=st.sampled_from(ModelFault), lasts=_WHILE),
    st.builds(
        ChangeFile, at=_AT, change=_NAME, replicas=st.none() | st.integers(0, 4), version=st.sampled_from([1, 2])
    ),
    st.builds(Scale, at=_AT, scale=_NAME, replicas=st.integers(0, 4)),
    st.builds(
        DaemonAway,
        at=_AT,
        kill_daemon=st.just(value=True),
        lasts=_WHILE.map(lambda one: one or Duration(1)),
        forgets=st.booleans(),
    ),
)


@given(events=st.lists(_EVENTS, max_size=4), seed=st.integers(0, 9))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_no_turn_that_is_left_out_would_have_changed_anything(
    tmp_path: Path, events: list[Action], seed: int
) -> None:
    """Leaving turns out is sound for every story, because the plan is a function of what did not change."""
    told = attrs.evolve(scenario(tmp_path, ""), events=tuple(sorted(events, key=lambda one: one.at.ms)))
    leaping = simulated(fleet(tmp_path), told, seed=seed)
    walking = simulated(fleet(tmp_path), told, seed=seed, every_turn=True)
    assert attrs.evolve(walking, turns=0) == attrs.evolve(leaping, turns=0)


class TestEvents:
    """What each kind of event does."""

    def test_a_fleet_comes_up(self, tmp_path: Path) -> None:
        """What is declared serves after a while, and then nothing more is done."""
        found = simulated(fleet(tmp_path), scenario(tmp_path, ""))
        assert {"bind": 2, "grow": 2, "settle": 2} == found.steps
        assert [(2, 0), (3, 0)] == [(one.counts[-1].serving, one.counts[-1].pending) for one in found.deployments]
        assert all(one.short_ms < 60_000 for one in found.deployments)

    def test_a_silent_node_costs_its_replicas_until_they_are_replaced(self, tmp_path: Path) -> None:
        """The gateway sends nothing there at once, the cluster gives them up later, and the others go on."""
        events = "events: [{at: 5m, silence_node: node-1, cluster: here, for: 10m}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        assert ["node-1 of here loses its power", "node-1 of here is back"] == said(found, "scenario")
        assert 1 == min(one.serving for one in account(found, "anchor").counts if one.at > 60_000)
        assert 1 == len(said(found, "replica-lost", "anchor"))
        assert (2, 0) == (account(found, "anchor").counts[-1].serving, account(found, "anchor").down_ms)

    def test_a_partition_is_no_loss(self, tmp_path: Path) -> None:
        """Servers go on, nobody is replaced, and nothing can be changed there meanwhile."""
        events = "events: [{at: 5m, partition: here, for: 5m}, {at: 6m, change: anchor, replicas: 3}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        counts = [one for one in account(found, "anchor").counts if one.at >= 300_000]
        assert [2] == sorted({one.serving for one in counts if one.at < 600_000})
        assert (3, 3) == (counts[-1].wanted, counts[-1].serving)
        assert 600_000 <= next(one.at for one in counts if one.pending)

    def test_a_crash_is_healed(self, tmp_path: Path) -> None:
        """Every one that crashed serves again, and the journal says what it was."""
        events = "events: [{at: 5m, crash: buoy, count: 2, out_of_memory: true}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        assert ["2 of 3 servers of buoy run out of memory"] == said(found, "scenario")
        assert 2 == len(said(found, "replica-out-of-memory", "buoy"))
        assert 3 == account(found, "buoy").counts[-1].serving

    def test_a_bad_version_is_taken_back(self, tmp_path: Path) -> None:
        """The old revision serves all the time; the new one is given up after the progress deadline."""
        events = "events: [{at: 2m, trouble: anchor, version: 2, how: fails}, {at: 2m, change: anchor, version: 2}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        assert any("rollout-failed" in one for one in said(found, "held", "anchor"))
        assert {2} == {one.serving for one in account(found, "anchor").counts if one.at > 60_000}

    def test_trouble_ends_when_it_is_said_to(self, tmp_path: Path) -> None:
        """While it lasts nobody serves, after it everybody does."""
        events = "events: [{at: 5m, trouble: anchor, how: eats-memory, for: 2m}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        anchor = account(found, "anchor")
        assert 0 == min(one.serving for one in anchor.counts if one.at >= 300_000)
        assert 2 == anchor.counts[-1].serving
        assert 0 < anchor.down_ms < 600_000

    def test_a_quota_of_the_file_holds_growth_back(self, tmp_path: Path) -> None:
        """It is held with the reason, and goes on when the quota is raised."""
        events = """\
events:
  - {at: 5m, quota: search, cpu: 6}
  - {at: 6m, change: anchor, replicas: 4}
  - {at: 20m, quota: search, cpu: 64}
"""
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        assert any("quota" in one for one in said(found, "held", "anchor"))
        counts = account(found, "anchor").counts
        assert [3, 4] == [max(one.serving for one in counts if one.at < 20 * 60_000), counts[-1].serving]

    def test_a_cluster_s_own_quota_leaves_replicas_out(self, tmp_path: Path) -> None:
        """What the cluster refuses is never there, until it allows more."""
        events = "events: [{at: 0s, limit_cluster: there, cpu: 2}, {at: 10m, limit_cluster: there}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        counts = account(found, "buoy").counts
        assert [2, 3] == [max(one.serving for one in counts if one.at < 600_000), counts[-1].serving]

    def test_foreign_use_keeps_replicas_waiting(self, tmp_path: Path) -> None:
        """While others hold the only node there is no room, and after that there is."""
        events = "events: [{at: 0s, foreign_use: node-1, cluster: here, cpu: 8, for: 5m}]\n"
        told = scenario(tmp_path, events, clusters="clusters: {here: {nodes: 1}, there: {}}\n")
        found = simulated(fleet(tmp_path), told)
        anchor = account(found, "anchor")
        assert 300_000 < next(one.at for one in anchor.counts if one.serving)
        assert any("no-capacity" in one for one in said(found, "held", "anchor"))

    def test_a_node_that_is_gone_stays_gone(self, tmp_path: Path) -> None:
        """Its replicas are made again elsewhere."""
        events = "events: [{at: 5m, lose_node: node-1, cluster: here}]\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        assert 2 == account(found, "anchor").counts[-1].serving
        assert not any(
            "node-1" in one.text
            for one in found.happenings
            if one.kind == "replica-placed" and one.at > 300_000 and one.deployment == "anchor"
        )

    def test_a_dead_daemon_does_nothing_and_the_next_one_goes_on(self, tmp_path: Path) -> None:
        """What is asked for meanwhile is done when it is there again, without its memory too."""
        events = """\
events:
  - {at: 5m, kill_daemon: true, for: 10m, forgets: true}
  - {at: 6m, scale: anchor, replicas: 4}
"""
        found = simulated(fleet(tmp_path), scenario(tmp_path, events))
        grown = next(one.at for one in account(found, "anchor").counts if one.pending and one.at > 300_000)
        assert 900_000 <= grown <= 910_000
        assert 5 == len(said(found, "replica-adopted"))

    def test_load_is_answered_as_far_as_there_are_servers(self, tmp_path: Path) -> None:
        """Nothing fails once the fleet serves what it can serve, and what is sent before anybody does fails."""
        load = "load: {anchor: {service_time: 10ms, rate: 20}, buoy: {service_time: 10ms, rate: 20}}\n"
        found = simulated(fleet(tmp_path), scenario(tmp_path, load))
        for one in found.deployments:
            assert 36_000 == one.requests
            assert one.failed is not None
            assert 0 < one.failed <= 20 * 60

    def test_load_scales_a_deployment_up_and_down(self, tmp_path: Path) -> None:
        """The scaling policy of the file decides on what the pretended gateway measures."""
        scaled = FLEET.replace(
            "clusters: here, replicas: 2", "clusters: here, autoscaling: {min: 1, max: 6, metrics: [{concurrency: 2}]}"
        )
        load = """\
load:
  anchor: {service_time: 100ms, parallel: 4, steps: [{at: 0s, rate: 5}, {at: 5m, rate: 80}, {at: 15m, rate: 5}]}
"""
        told = scenario(tmp_path, load, scaled)
        counts = account(simulated(fleet(tmp_path, scaled), told), "anchor").counts
        assert [1, True, 1] == [
            max(one.wanted for one in counts if 60_000 < one.at < 300_000 or one.at == counts[0].at),
            max(one.wanted for one in counts) >= 4,
            counts[-1].wanted,
        ]


def test_nothing_is_simulated_by_the_machine_s_clock(tmp_path: Path) -> None:
    """Two hours pass without an hour of anybody's time: what passes is told, up to the end."""
    told = scenario(tmp_path, "", head="for: 2h")
    passed: list[int] = []
    of = fleet(tmp_path)
    assert PLUGIN.simulation is not None
    found = simulate(
        of,
        told,
        simulation=resolve(PLUGIN.simulation, "the simulation"),
        placement=HOST.placement_policies(),
        scaling=HOST.scaling_policies(),
        progress=passed.append,
    )
    assert (7_200_000, passed) == (found.lasted, sorted(passed))
    assert 7_200_000 == passed[-1]
