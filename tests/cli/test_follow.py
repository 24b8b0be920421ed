"""Following a change to its end, and what the end is called."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import click
import pytest

from roadstead.cli.errors import CannotBePlaced, NotReached, RolledBack, RolloutFailed, TimedOut
from roadstead.cli.exits import Exit
from roadstead.cli.follow import Within, follow
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Settings
from roadstead.decide.report import FleetStatus, RolloutState
from roadstead.model import Quota
from roadstead.units import Cpus
from roadstead_backends.simulated.faults import ModelFault
from tests.cli.stage import DAEMON, Stage, behind, declared, fleet_of

AT_ONCE = Within(timeout_ms=60_000, every=0.0)


@attrs.define
class Turning:
    """Whoever is asked runs a turn of the stage, as `apply` without a daemon does."""

    stage: Stage
    asked: int = 0

    def status(self) -> FleetStatus:
        """Return the status by one more turn."""
        self.asked += 1
        self.stage.turn()
        return self.stage.status(attrs.evolve(DAEMON, turn=self.asked))


@pytest.fixture
def screen() -> Iterator[Screen]:
    """The screen of a command that runs, off a terminal."""
    with click.Context(click.Command("apply")):
        yield Screen(Settings({}))


def test_a_new_deployment_is_followed_until_it_serves(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each change, on stderr, and the status in which all is as asked."""
    last = follow(screen, Turning(Stage(fleet_of(declared()))), ("minilm",), AT_ONCE)
    out, err = capsys.readouterr()
    assert RolloutState.SETTLED is last.deployments[0].state
    assert "" == out
    assert "minilm: settled, 2/2 serving" == err.splitlines()[-1]
    assert sorted(set(err.splitlines())) == sorted(err.splitlines())


def test_nothing_is_said_to_whoever_wants_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is enough."""
    with click.Context(click.Command("apply")):
        follow(Screen(Settings({"quiet": True})), Turning(Stage(fleet_of(declared()))), ("minilm",), AT_ONCE)
    assert ("", "") == capsys.readouterr()


def test_what_is_over_the_quota_ends_with_3_and_the_numbers(screen: Screen) -> None:
    """Once two turns in a row find so; what fits serves."""
    stage = Stage(fleet_of(declared(replicas=4), quotas={"search": Quota(cpu=Cpus(1_500))}))
    with pytest.raises(CannotBePlaced, match=r"minilm: 3 of 4 serve") as error:
        follow(screen, Turning(stage), ("minilm",), AT_ONCE)
    assert Exit.UNPLACEABLE == error.value.exit_code
    assert "quota: 1 more would be over the quota of search" in str(error.value)
    assert "lower replicas by 1" in (error.value.hint or "")


def test_a_rollback_ends_with_5(screen: Screen) -> None:
    """The old revision serves, and that is not what was asked for."""
    stage = Stage(fleet_of(declared()))
    follow(screen, Turning(stage), ("minilm",), AT_ONCE)
    stage.cluster.faults.models["/models/broken"] = ModelFault.NEVER_LOADS
    stage.drive.fleet = fleet_of(declared(version=2, source="/models/broken"))
    with pytest.raises(RolledBack) as error:
        follow(screen, Turning(stage), ("minilm",), AT_ONCE)
    assert Exit.ROLLED_BACK == error.value.exit_code
    assert 2 == stage.deployment().ready


def test_a_first_revision_that_fails_ends_with_1(screen: Screen) -> None:
    """There is nothing to roll back to."""
    stage = Stage(fleet_of(declared(source="/models/broken")))
    stage.cluster.faults.models["/models/broken"] = ModelFault.NEVER_LOADS
    with pytest.raises(RolloutFailed) as error:
        follow(screen, Turning(stage), ("minilm",), AT_ONCE)
    assert Exit.ERROR == error.value.exit_code


def test_an_address_that_is_not_served_ends_with_69_and_the_gateways_words(screen: Screen) -> None:
    """Once it has been so for ten seconds: a port takes a moment to be opened."""
    stage = Stage(behind(declared()))
    stage.proxy.faults.problems["minilm"] = "address already in use"
    asked = Turning(stage)
    with pytest.raises(NotReached, match=r"minilm: its replicas are ready") as error:
        follow(screen, asked, ("minilm",), AT_ONCE)
    assert Exit.UNREACHABLE == error.value.exit_code
    assert "does not serve port 18000: address already in use" in str(error.value)
    assert "gateway.port" in (error.value.hint or "")
    assert asked.asked > 10


def test_an_address_that_is_opened_late_is_waited_for(screen: Screen) -> None:
    """What the gateway said in between is forgotten."""
    stage = Stage(behind(declared()))
    stage.proxy.faults.problems["minilm"] = "not opened yet"
    asked = Turning(stage)

    class Opening:
        def status(self) -> FleetStatus:
            if asked.asked == 12:
                stage.proxy.faults.clear()
            return asked.status()

    follow(screen, Opening(), ("minilm",), AT_ONCE)


def test_time_that_is_over_ends_with_4_and_says_what_goes_on(screen: Screen) -> None:
    """Nothing is taken back."""
    with pytest.raises(TimedOut) as error:
        follow(screen, Turning(Stage(fleet_of(declared()))), ("minilm",), Within(timeout_ms=0, goes_on="it goes on"))
    assert Exit.TIMED_OUT == error.value.exit_code
    assert (error.value.hint or "").startswith("it goes on")


def test_a_status_from_before_the_change_is_not_judged(screen: Screen) -> None:
    """A settled fleet is not the answer to what was just asked for; the turn that first knows of it is."""
    stage = Stage(fleet_of(declared()))
    stage.until(lambda status: status.deployments[0].state is RolloutState.SETTLED)
    asked = Turning(stage)
    follow(screen, asked, ("minilm",), attrs.evolve(AT_ONCE, from_turn=5))
    assert 5 == asked.asked


def test_only_what_was_asked_for_is_followed(screen: Screen) -> None:
    """A neighbour that cannot be placed does not make this one fail."""
    quotas = {"search": Quota(cpu=Cpus(4_000))}
    stage = Stage(fleet_of(declared("aa"), declared("zz", replicas=9, cpu=Cpus(2_000)), quotas=quotas))
    follow(screen, Turning(stage), ("aa",), AT_ONCE)
