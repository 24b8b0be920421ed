"""Tells one story once, with these faults or with a swarm, and says what happens turn by turn.

    python -m tests.faults.replay "roll" directed 145:SECOND_DAEMON
    python -m tests.faults.replay "roll" "like Marathon" --swarm 7

Faults are given as the table gives them: the number of the call, and the kind by its name or in words.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from roadstead.plans import Plan, Shrink, Step
from roadstead.testing.faults.calls import Call, Fault, Kind
from roadstead.testing.faults.daemon import Daemon
from roadstead.testing.faults.plans import Swarm
from roadstead.testing.faults.stage import Stage
from roadstead.testing.faults.telling import tell
from roadstead.testing.faults.verdicts import verdict
from roadstead.world import World
from tests.faults.furnishing import TEMPERS, furnished
from tests.faults.scenarios import SCENARIOS

STORIES = {scenario.name: scenario for scenario in SCENARIOS}
KINDS = {**{kind.name: kind for kind in Kind}, **{kind.value: kind for kind in Kind}}


class TellingStage(Stage):
    """A stage that says what happens on it."""

    def planned(self, daemon: Daemon, world: World, plan: Plan, whole: Plan | None) -> None:
        """Say what is planned."""
        wrong = len(self.wrong)
        super().planned(daemon, world, plan, whole)
        who = "" if daemon is self.daemon else "second daemon, "
        held = ", ".join(sorted({one.reason.code.value for one in plan.held}))
        click.echo(
            f"{self._moment()} {who}turn {plan.memory.turn}, before call {len(self.injector.calls)}:"
            f" {'; '.join(map(_words, plan.steps)) or 'nothing to do'}{f'; held: {held}' if held else ''}"
        )
        self._say_wrong(wrong)

    def around(self, daemon: Daemon, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Say what became of a call."""
        wrong = len(self.wrong)
        try:
            super().around(daemon, cluster, subject, call)
        except Exception as error:
            click.echo(f"          {cluster}/{subject}: {type(error).__name__}: {error}")
            raise
        finally:
            self._say_wrong(wrong)

    def strike(self, kind: Kind, call: Call) -> None:
        """Say what strikes."""
        click.echo(f"{self._moment()} {kind.value} at call {call.number} ({call.what.value} {call.where})")
        super().strike(kind, call)

    def _moment(self) -> str:
        return f"{self.props.time.now() % 1_000_000 / 1000:8.1f}s"

    def _say_wrong(self, known: int) -> None:
        for one in self.wrong[known:]:
            click.secho(f"          WRONG: {one}", bold=True)


def _words(step: Step) -> str:
    retired = f" without {', '.join(step.retire)}" if isinstance(step, Shrink) and step.retire else ""
    target = f" to {step.target}" if hasattr(step, "target") else ""
    return f"{type(step).__name__.lower()} {step.cluster}/{step.subject}{target}{retired}"


def _fault(text: str) -> Fault:
    number, _, kind = text.partition(":")
    if not number.isdigit() or kind not in KINDS:
        raise click.BadParameter(f"{text!r} is not NUMBER:KIND; kinds: {', '.join(kind.name for kind in Kind)}")
    return Fault(int(number), KINDS[kind])


@click.command(help=__doc__)
@click.argument("story", type=click.Choice(list(STORIES)))
@click.argument("temper", type=click.Choice(list(TEMPERS)))
@click.argument("faults", nargs=-1)
@click.option("--swarm", type=int, help="random faults that follow from this seed")
def main(story: str, temper: str, faults: tuple[str, ...], swarm: int | None) -> None:
    """Tell it, and say what it came to beside the story without faults."""
    logging.disable(logging.CRITICAL)
    scenario = STORIES[story]
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        reference = tell(scenario, furnished(scenario.fleet, temper), Path(first))
        told = tell(
            scenario,
            furnished(scenario.fleet, temper),
            Path(second),
            tuple(map(_fault, faults)),
            choose=Swarm(swarm) if swarm is not None else None,
            on=TellingStage,
        )
    found = verdict(told, reference)
    click.echo(f"at rest after {told.turns} turns, {told.recovery} after the last fault")
    click.echo("\n".join(found.violations) or "nothing is wrong")


if __name__ == "__main__":
    main()
