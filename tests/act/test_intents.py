"""Intents hold until the key of the file that they are about says something else."""

from __future__ import annotations

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.intents import (
    as_applied,
    fulfilled,
    migrated,
    moved_back,
    orphans,
    paused,
    promoted,
    redone,
    removed,
    resumed,
    scaled,
    still_held,
    undone,
    with_removals,
)
from roadstead.model import (
    DaemonSpec,
    Deployment,
    Fleet,
    Intents,
    OnChange,
    RolloutSpec,
    Strategy,
    UndoIntent,
)
from roadstead.template import target
from roadstead.wire import from_wire, to_wire
from roadstead.world import Unreachable, World
from tests.act.scene import deployment, fleet, template


def _with(made: Fleet, intents: Intents) -> Fleet:
    return attrs.evolve(made, intents=intents)


def test_a_scale_holds_while_the_file_says_the_same_number() -> None:
    """An edit of something else does not undo a scale."""
    intents = scaled(Intents(), deployment(replicas=2), 5)

    assert intents == still_held(intents, fleet(deployment(replicas=2, made_from=template(version=2))))


def test_a_new_number_in_the_file_ends_a_scale() -> None:
    """Whoever writes another number means that number."""
    intents = scaled(Intents(), deployment(replicas=2), 5)

    assert Intents() == still_held(intents, fleet(deployment(replicas=3)))


def test_scaling_to_the_declared_number_is_no_intent() -> None:
    """Back to what the file says leaves nothing behind."""
    intents = scaled(Intents(), deployment(replicas=2), 5)

    assert Intents() == scaled(intents, deployment(replicas=2), 2)


def test_a_scale_waits_for_a_deployment_that_is_out_of_the_file() -> None:
    """A half-saved file does not forget what a command asked for."""
    intents = scaled(Intents(), deployment(replicas=2), 5)

    assert intents == still_held(intents, fleet())


def test_a_migration_holds_until_the_clusters_in_the_file_change() -> None:
    """Another template, or another number, leaves it in force; another cluster or weight is the newer word."""
    intents = migrated(Intents(), deployment(), "there")
    weighted = deployment()
    heavier = attrs.evolve(weighted, targets=tuple(attrs.evolve(one, weight=7) for one in weighted.targets))

    assert intents == still_held(intents, fleet(deployment(replicas=9, made_from=template(version=2))))
    assert intents == still_held(intents, fleet())
    assert Intents() == still_held(intents, fleet(heavier))


def test_migrating_to_where_the_file_says_is_no_intent() -> None:
    """Back to the only declared cluster leaves nothing behind, by name or by undoing; a deletion ends it, too."""
    declared = deployment()
    intents = migrated(Intents(), declared, "there")

    assert Intents() == migrated(intents, declared, declared.targets[0].cluster)
    assert Intents() == moved_back(intents, declared.name)
    assert () == removed(intents, fleet(declared), [declared.name]).migrate


def test_a_deleted_deployment_stays_deleted_until_its_template_changes() -> None:
    """The same template in the file does not bring it back, another one does."""
    declared = fleet(deployment())
    intents = removed(Intents(), declared, ["minilm"])

    assert intents == still_held(intents, declared)
    assert Intents() == still_held(intents, fleet(deployment(made_from=template(version=2))))


def test_a_deleted_deployment_that_leaves_the_file_and_comes_back_is_wanted() -> None:
    """Deleted by command, then taken out: gone. Declared again: wanted."""
    intents = removed(Intents(), fleet(deployment()), ["minilm"])
    out_of_the_file = still_held(intents, fleet())

    assert frozenset() == orphans(_with(fleet(), out_of_the_file), ["minilm"])
    assert Intents() == still_held(out_of_the_file, fleet(deployment()))


def test_applying_the_file_brings_back_what_a_command_deleted() -> None:
    """``apply`` is the file's word; what the file does not declare stays deleted."""
    declared = fleet(deployment())
    deleted = _with(declared, removed(Intents(), declared, ["minilm", "vanished"]))

    assert ["vanished"] == [intent.deployment for intent in as_applied(deleted).intents.remove]
    assert declared == as_applied(declared)


def test_a_removal_ends_when_every_cluster_says_that_nothing_is_left() -> None:
    """While one does not answer, something may be left there; what the file declares stays deleted."""
    declared = fleet(deployment())
    deleted = _with(declared, removed(Intents(), declared, ["minilm", "vanished"]))
    silent = World(clusters={"here": Unreachable(since=0, error="no route")})

    assert deleted.intents == fulfilled(deleted, silent)
    assert ["minilm"] == [intent.deployment for intent in fulfilled(deleted, World(clusters={})).remove]


def test_what_vanished_is_an_orphan_until_it_is_confirmed() -> None:
    """Nothing that exists goes because its lines are missing."""
    declared = fleet()

    assert {"minilm"} == orphans(declared, ["minilm"])
    confirmed = _with(declared, removed(declared.intents, declared, ["minilm"]))
    assert frozenset() == orphans(confirmed, ["minilm"])


def test_on_removal_apply_confirms_what_vanished() -> None:
    """Where the file says that removing lines is enough, no command is needed."""
    held, applied = fleet(), fleet(daemon=DaemonSpec(on_removal=OnChange.APPLY))

    assert held == with_removals(held, ["minilm"])
    assert ["minilm"] == [intent.deployment for intent in with_removals(applied, ["minilm"]).intents.remove]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=8))
def test_only_the_last_number_of_each_deployment_counts(asked: list[tuple[str, int]]) -> None:
    """However often a deployment is scaled, there is at most one intent for it, in the order of names."""
    intents = Intents()
    for name, replicas in asked:
        intents = scaled(intents, deployment(name, replicas=2), replicas)

    expected = {name: replicas for name, replicas in dict(asked).items() if replicas != 2}
    assert sorted(expected.items()) == [(intent.deployment, intent.replicas) for intent in intents.scale]


def _steered(declared: Deployment) -> Intents:
    """Return intents of every kind that is about the template of a deployment."""
    back = UndoIntent(
        deployment=declared.name, revision="old", targets=declared.targets, declared=declared.declared_template
    )
    return paused(undone(promoted(Intents(), declared), back), declared)


def test_what_is_asked_of_a_rollout_ends_with_another_template_and_not_with_anything_else() -> None:
    """Another number of replicas, or a file that is half saved, changes nothing."""
    intents = _steered(deployment(replicas=2))

    assert (1, 1, 1) == (len(intents.pause), len(intents.promote), len(intents.undo))
    assert intents == still_held(intents, fleet(deployment(replicas=5)))
    assert intents == still_held(intents, fleet())
    assert Intents() == still_held(intents, fleet(deployment(made_from=template(version=2))))


def test_where_replicas_reload_another_version_is_another_template() -> None:
    """The revision stays, and so do verdicts about it; what was asked of the rollout does not."""

    def at(version: int) -> Deployment:
        made = deployment()
        targets = tuple(target(one.cluster, template(version=version), reloads=True) for one in made.targets)
        return attrs.evolve(made, targets=targets, rollout=RolloutSpec(strategy=Strategy.RELOAD))

    intents = _steered(at(1))

    assert intents == still_held(intents, fleet(at(1)))
    assert Intents() == still_held(intents, fleet(at(2)))


def test_deleting_ends_all_that_was_asked_of_a_rollout() -> None:
    """When it is declared again, it is as the file says."""
    declared = fleet(deployment())

    left = removed(_steered(deployment()), declared, ["minilm"])

    assert Intents(remove=left.remove) == left


def test_resuming_and_clearing_leave_nothing_behind() -> None:
    """What was taken back is as if it had never been asked."""
    intents = paused(Intents(), deployment())

    assert Intents() == resumed(intents, "minilm")
    assert () == redone(_steered(deployment()), "minilm").undo


def test_what_was_undone_outlives_the_process_with_its_templates() -> None:
    """It is kept with the fleet's identity, and read again as it was."""
    intents = _steered(deployment())

    assert intents == from_wire(json.loads(json.dumps(to_wire(intents))), Intents)
