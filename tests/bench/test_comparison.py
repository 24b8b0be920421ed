"""`roadstead bench compare`: everybody is asked for the same work, watched until it is done, and taken down."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.bench.comparison.contest import Contestant, NotDone, contest, revised
from roadstead.bench.comparison.figures import Comparison, Measure, Sample, markdown, rows
from roadstead.cli.entry import main
from roadstead.model import ModelSpec, Template
from roadstead.spi.comparison import Standing, Work
from roadstead.spi.runtime import Launch, Program
from roadstead.units import Duration

LAUNCH = Launch(program=Program(module="nothing"), args=())
WORK = Work(name="m", replicas=2, template=Template(model=ModelSpec(name="m", source="m")), launch=LAUNCH)


@attrs.define
class Watch:
    """Time that passes only while somebody waits."""

    time: float = 0.0

    def now(self) -> int:
        """Return the milliseconds since the beginning."""
        return int(1000 * self.time)

    def monotonic(self) -> float:
        """Return the seconds since the beginning."""
        return self.time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


@attrs.define(kw_only=True)
class Scripted:
    """Somebody whose servers need ``start`` seconds; a roll replaces one after the other.

    With ``stuck`` nothing ever gets ready, with ``stays`` nothing ever goes.
    """

    clock: Watch
    start: float = 2.0
    stuck: bool = False
    stays: bool = False
    asked: list[Work] = attrs.Factory(list)
    since: float = 0.0
    lost: int = 0
    ended: bool = False

    def ask(self, work: Work) -> None:
        """Begin, or roll."""
        self.asked.append(work)
        self.since, self.ended = self.clock.time, False

    def standing(self) -> Standing:
        """Return how many had the time to start."""
        passed = self.clock.time - self.since
        number = len(self.asked)
        wanted = self.asked[-1].replicas
        in_turn = number > 1 and not self.lost
        done = int(passed / self.start) if in_turn else wanted * (passed >= self.start or self.lost)
        done = 0 if self.stuck else min(wanted, done)
        names = {f"{number}.{one}" for one in range(done)}
        if self.lost:
            names = names - {f"{number}.0"} | ({f"{number}.0 again"} if passed >= self.start else set())
        before = wanted - done if in_turn else 0
        return Standing(current=frozenset(names), ready=len(names) + before, others=before)

    def lose(self) -> str:
        """Lose the first of them."""
        self.lost, self.since = 1, self.clock.time - 2 * self.start + 3.0
        return f"{len(self.asked)}.0"

    def end(self) -> bool:
        """Take everything down, where it goes."""
        self.ended = not self.stays
        return self.ended

    def close(self) -> None:
        """Hold nothing."""


def passages(rival: Scripted, *, repeats: int = 1, within: int = 60) -> list[Sample]:
    """Return what a contest of one finds."""
    return list(
        contest(
            [Contestant(name="one", rival=rival)],
            WORK,
            lambda _: LAUNCH,
            repeats=repeats,
            within=Duration(1000 * within),
            clock=rival.clock,
        )
    )


class TestContest:
    """What is asked for, and what is timed."""

    def test_each_passage_is_timed_until_every_replica_is_ready(self) -> None:
        """From nothing, through a roll, and after a loss."""
        found = passages(Scripted(clock=Watch()))
        assert [Measure.COLD_START, Measure.ROLL, Measure.HEAL] == [one.measure for one in found]
        times = [one.seconds for one in found]
        assert pytest.approx([2.0, 4.0, 1.0], abs=0.051) == times

    def test_a_roll_is_to_another_template(self) -> None:
        """So that nobody can have been ready before."""
        rival = Scripted(clock=Watch())
        passages(rival)
        first, second = (work.template for work in rival.asked)
        assert first != second
        assert (revised(WORK.template, 1), revised(WORK.template, 2)) == (first, second)

    def test_what_is_not_done_in_time_has_no_time_and_ends_the_round(self) -> None:
        """The next round, and the next contestant, begin from nothing all the same."""
        rival = Scripted(clock=Watch(), stuck=True)
        found = passages(rival, repeats=2, within=5)
        assert [(Measure.COLD_START, None)] * 2 == [(one.measure, one.seconds) for one in found]
        assert rival.ended

    def test_what_cannot_be_taken_down_ends_the_comparison(self) -> None:
        """It would disturb whoever comes next."""
        with pytest.raises(NotDone, match="what one started is still there after 1m"):
            passages(Scripted(clock=Watch(), stays=True))


class TestFigures:
    """The table."""

    @given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=9))
    def test_a_row_counts_every_passage(self, times: list[float | None]) -> None:
        """Those that did not end are told apart, and lie in no median."""
        samples = [Sample(contestant="one", measure=Measure.ROLL, seconds=seconds) for seconds in times]
        (row,) = rows(samples)
        done = [one for one in times if one is not None]
        assert (len(times), len(times) - len(done)) == (row.passages, row.unfinished)
        if done:
            assert row.median is not None
            assert (min(done), max(done)) == (row.least, row.most)
            assert min(done) <= row.median <= max(done)
        else:
            assert row.median is None

    def test_the_page_says_who_did_not_finish(self) -> None:
        """And how it was made."""
        samples = (Sample(contestant="one", measure=Measure.COLD_START, seconds=None),)
        found = Comparison(machine="2 CPUs", model="minilm", replicas=2, repeats=1, samples=samples)
        page = markdown(found, "roadstead bench compare minilm")
        assert "`roadstead bench compare minilm` on 2 CPUs" in page
        assert "| cold start | one | - | - | - | 1 of 1 |  |" in page


FLEET = """\
version: 1
fleet: toy
clusters:
  here: {backend: simulated, options: {nodes: 2, speed: 50}}
  there: {backend: simulated, options: {nodes: 2, speed: 50, temper: kubernetes}}
quotas: {search: {cpu: 64}}
defaults: {owner: search, runtime: {name: simulated}, stop: {drain_within: 100ms}, resources: {cpu: 1, memory: 1Gi}}
deployments:
  anchor: {model: {source: m/anchor}, clusters: here, replicas: 2}
daemon: {turn: 1s}
"""


class TestCommand:
    """The command on simulated clusters, in fast time."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Run in a folder with a fleet file."""
        (tmp_path / "fleet.yaml").write_text(FLEET, encoding="utf-8")
        monkeypatch.chdir(tmp_path)

    @pytest.mark.slow
    def test_every_cluster_is_compared(self, capsys: pytest.CaptureFixture[str]) -> None:
        """By default all that the file has, each with three measures; and the page is written."""
        assert 0 == main(["bench", "compare", "anchor", "--repeats", "1", "--report", "table.md", "-o", "json"])
        found = json.loads(capsys.readouterr().out)
        contestants = {"roadstead on here", "roadstead on there"}
        assert {(one.value, who) for one in Measure for who in contestants} == {
            (row["measure"], row["contestant"]) for row in found["rows"]
        }
        assert all(row["median"] is not None for row in found["rows"])
        assert "| roll | roadstead on there |" in Path("table.md").read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["nobody"], 1, "the fleet file has no deployment 'nobody'"),
            (["anchor", "--on", "nowhere"], 64, "there is no cluster 'nowhere'"),
            (["anchor", "--replicas", "0"], 64, "0 is not in the range"),
        ],
    )
    def test_what_is_not_there_is_said(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
    ) -> None:
        """Before anything is started."""
        assert code == main(["bench", "compare", *arguments])
        assert said in capsys.readouterr().err
