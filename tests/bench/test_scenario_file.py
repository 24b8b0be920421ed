"""Scenario files: what is read from them, and what is said about each that is wrong, with its place."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.bench.page import scenario_page
from roadstead.bench.scenario import (
    ChangeFile,
    ChangeQuota,
    CrashServers,
    DaemonAway,
    Foreign,
    LimitCluster,
    LoseNode,
    Partition,
    Rate,
    Scale,
    Scenario,
    SilenceNode,
    Traffic,
    Trouble,
)
from roadstead.bench.scenario_file import read_scenario
from roadstead.config import FleetFileError, read_fleet
from roadstead.spi.simulation import ModelFault
from roadstead.units import Cpus, Duration, Memory
from tests.bench.scenes import CLUSTERS, HOST, PLUGIN, fleet, scenario

ROOT = Path(__file__).parents[2]

EVERYTHING = """\
load:
  anchor: {service_time: 50ms, parallel: 2, patience: 1s, steps: [{at: 1m, rate: 0.5}, {at: 2m, rate: 60}]}
  buoy: {service_time: 100ms, rate: 5}
events:
  - {at: 3m, silence_node: node-2, cluster: here, for: 4m}
  - {at: 2m, lose_node: node-1, cluster: here}
  - {at: 4m, partition: there}
  - {at: 4m, foreign_use: node-3, cluster: there, cpu: 2, memory: 1Gi}
  - {at: 5m, limit_cluster: there, gpu: 2}
  - {at: 6m, crash: buoy, count: 2, out_of_memory: true}
  - {at: 7m, trouble: buoy, how: flaps, version: 3, for: 1m}
  - {at: 8m, change: anchor, version: 2, source: m/other}
  - {at: 8m, quota: search, cpu: 8, memory: 1Gi}
  - {at: 9m, scale: buoy, replicas: 1}
  - {at: 16m, kill_daemon: true, for: 1m, forgets: true}
"""


def problems(folder: Path, text: str, **more: str) -> list[tuple[int, str, str]]:
    """Return line, place and code of everything that is wrong with a scenario."""
    with pytest.raises(FleetFileError) as caught:
        scenario(folder, text, **more)
    return [(one.line, one.where, one.code.value) for one in caught.value.problems]


class TestReading:
    """What a scenario file says."""

    def test_every_kind_of_event_is_read_and_put_in_the_order_of_time(self, tmp_path: Path) -> None:
        """Events of one time stay in the order of the file."""
        m = 60_000
        assert (
            LoseNode(at=Duration(2 * m), lose_node="node-1", cluster="here"),
            SilenceNode(at=Duration(3 * m), silence_node="node-2", cluster="here", lasts=Duration(4 * m)),
            Partition(at=Duration(4 * m), partition="there"),
            Foreign(at=Duration(4 * m), foreign_use="node-3", cluster="there", cpu=Cpus(2000), memory=Memory(2**30)),
            LimitCluster(at=Duration(5 * m), limit_cluster="there", gpu=2000),
            CrashServers(at=Duration(6 * m), crash="buoy", count=2, out_of_memory=True),
            Trouble(at=Duration(7 * m), trouble="buoy", how=ModelFault.FLAPS, version=3, lasts=Duration(m)),
            ChangeFile(at=Duration(8 * m), change="anchor", version=2, source="m/other"),
            ChangeQuota(at=Duration(8 * m), quota="search", cpu=Cpus(8000), memory=Memory(2**30)),
            Scale(at=Duration(9 * m), scale="buoy", replicas=1),
            DaemonAway(at=Duration(16 * m), kill_daemon=True, lasts=Duration(m), forgets=True),
        ) == scenario(tmp_path, EVERYTHING).events

    def test_load_begins_with_nothing_unless_it_is_said(self, tmp_path: Path) -> None:
        """Rates are in thousandths of a request per second, the first at the beginning."""
        assert {
            "anchor": Traffic(
                service_time=Duration(50),
                parallel=2,
                patience=Duration(1_000),
                rates=(Rate(Duration(0), 0), Rate(Duration(60_000), 500), Rate(Duration(120_000), 60_000)),
            ),
            "buoy": Traffic(service_time=Duration(100), rates=(Rate(Duration(0), 5_000),)),
        } == scenario(tmp_path, EVERYTHING).load

    def test_a_trace_is_read_from_a_file_beside_the_scenario(self, tmp_path: Path) -> None:
        """A line for each change of the rate."""
        (tmp_path / "day.csv").write_text("seconds,rate\n0,10\n1.5,20.25\n\n", encoding="utf-8")
        told = scenario(tmp_path, "load: {anchor: {service_time: 1s, trace: day.csv}}\n")
        assert (Rate(Duration(0), 10_000), Rate(Duration(1_500), 20_250)) == told.load["anchor"].rates

    def test_clusters_are_read_as_the_plugin_s_options(self, tmp_path: Path) -> None:
        """With the plugin's own keys and defaults."""
        assert ["3", "4"] == [str(getattr(one, "nodes", None)) for one in scenario(tmp_path, "").clusters.values()]


class TestProblems:
    """What is wrong is told all at once, each with its line."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("events: [{at: 1m, silence_node: node-9, cluster: here}]", (6, "events[0].silence_node", "RS230")),
            ("events: [{at: 1m, lose_node: node-1, cluster: nowhere}]", (6, "events[0].cluster", "RS230")),
            ("events: [{at: 1m, partition: nowhere}]", (6, "events[0].partition", "RS230")),
            ("events: [{at: 1m, crash: nothing}]", (6, "events[0].crash", "RS230")),
            ("events: [{at: 1m, quota: nobody}]", (6, "events[0].quota", "RS230")),
            ("events: [{at: 1m, change: anchor}]", (6, "events[0]", "RS232")),
            ("events: [{at: 2h, scale: anchor, replicas: 1}]", (6, "events[0].at", "RS221")),
            ("events: [{at: 1m}]", (6, "events[0]", "RS211")),
            ("events: [{at: 1m, crash: anchor, scale: anchor}]", (6, "events[0].scale", "RS232")),
            ("events: [{at: 1m, crush: anchor}]", (6, "events[0].crush", "RS210")),
            ("events: [{at: 1 min, crash: anchor}]", (6, "events[0].at", "RS220")),
            ("events: [{at: 1m, trouble: anchor, how: sulks}]", (6, "events[0].how", "RS224")),
            ("events: [{at: 1m, kill_daemon: true}]", (6, "events[0].for", "RS211")),
            ("load: {nobody: {service_time: 1s, rate: 1}}", (6, "load.nobody", "RS230")),
            ("load: {anchor: {service_time: 1s}}", (6, "load.anchor", "RS211")),
            ("load: {anchor: {service_time: 1s, rate: fast}}", (6, "load.anchor.rate", "RS220")),
            ("load: {anchor: {service_time: 1s, trace: no.csv}}", (6, "load.anchor.trace", "RS223")),
        ],
    )
    def test_a_wrong_value_is_told_with_its_place(
        self, tmp_path: Path, text: str, expected: tuple[int, str, str]
    ) -> None:
        """Line, path and code of the one thing that is wrong."""
        assert [expected] == problems(tmp_path, text)

    def test_a_cluster_without_a_stand_in_and_one_too_many_are_both_told(self, tmp_path: Path) -> None:
        """Neither hides the other."""
        found = problems(tmp_path, "", clusters="clusters: {here: {}, elsewhere: {}}\n")
        assert [(3, "clusters", "RS230"), (3, "clusters.elsewhere", "RS230")] == sorted(found)

    def test_what_a_cluster_cannot_be_is_told_by_its_plugin(self, tmp_path: Path) -> None:
        """Unknown keys, wrong amounts, and what its own validators refuse."""
        clusters = "clusters:\n  here: {nodez: 3}\n  there: {vary: 101}\n"
        assert [(4, "clusters.here.nodez", "RS210"), (5, "clusters.there", "RS223")] == problems(
            tmp_path, "", clusters=clusters
        )

    @pytest.mark.parametrize(
        ("text", "what"),
        [
            ("rate,seconds\n0,1\n", "begins with 'rate,seconds'"),
            ("", "begins with ''"),
            ("seconds,rate\n0,1,2\n", "line 2"),
            ("seconds,rate\n0,many\n", "line 2"),
            ("seconds,rate\n5,1\n5,2\n", "line 3 of"),
            ("seconds,rate\n0,-1\n", "below 0"),
            ("seconds,rate\n0,nan\n", "below 0"),
        ],
    )
    def test_a_wrong_trace_is_told_with_its_line(self, tmp_path: Path, text: str, what: str) -> None:
        """At the key that names the file, with the line in the file."""
        (tmp_path / "day.csv").write_text(text, encoding="utf-8")
        with pytest.raises(FleetFileError) as caught:
            scenario(tmp_path, "load: {anchor: {service_time: 1s, trace: day.csv}}\n")
        (problem,) = caught.value.problems
        assert ("load.anchor.trace", True) == (problem.where, what in problem.what)

    def test_a_file_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        """With its name, as for a fleet file."""
        with pytest.raises(FleetFileError, match="no\\.yaml"):
            read_scenario(tmp_path / "no.yaml", fleet(tmp_path), PLUGIN)

    @given(data=st.data())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_text_is_a_scenario_or_a_list_of_problems(self, tmp_path: Path, data: st.DataObject) -> None:
        """Whatever is typed over a good file, reading ends in one of the two and never in a traceback."""
        good = f"version: 1\nfor: 30m\n{CLUSTERS}{EVERYTHING}"
        start = data.draw(st.integers(0, len(good)))
        end = data.draw(st.integers(start, min(len(good), start + 30)))
        typed = data.draw(
            st.text(max_size=12) | st.sampled_from(["{", "]", "null", "-1", "99999h", "\t", "&a *a", "[]"])
        )
        file = tmp_path / "scenario.yaml"
        file.write_text(good[:start] + typed + good[end:], encoding="utf-8", errors="surrogateescape", newline="")
        assert self._ends_well(file)

    @staticmethod
    def _ends_well(file: Path) -> bool:
        try:
            return isinstance(read_scenario(file, fleet(file.parent), PLUGIN), Scenario)
        except FleetFileError as error:
            return len(error.problems) > 0


class TestPublished:
    """What is made from the description of the keys."""

    def test_the_page_is_that_of_the_keys(self) -> None:
        """`python -m roadstead.bench.page` was run after the last change."""
        page = (ROOT / "docs" / "reference" / "scenario-file.md").read_text(encoding="utf-8")
        assert scenario_page(PLUGIN) == page

    def test_the_examples_are_good(self) -> None:
        """Every scenario that is published can be read for the fleet beside it."""
        folder = ROOT / "configs" / "sim"
        told = read_scenario(folder / "day.yaml", read_fleet(folder / "fleet.yaml", HOST), PLUGIN)
        assert (4 * 3_600_000, True) == (told.lasts.ms, attrs.asdict(told)["seed"] == 7)
