"""What people ask of a rollout by command: that it stands still, that they vouch for it, that it is taken back.

To undo is to want what ran before as if the file said so, so that everything else follows from what is known of
rollouts. To promote is to call a group proven. To pause is to aim at what each group has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from roadstead.decide.rows import Row, RowKey
from roadstead.memory import GroupMemory
from roadstead.model import Deployment, Fleet, PauseIntent, PromoteIntent, Strategy, Target, UndoIntent
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode

__all__ = ["is_paused", "is_undone", "paused", "standing_still", "steered", "vouched"]


def is_paused(fleet: Fleet, name: str) -> bool:
    """Return whether the rollout of a deployment is to stand still."""
    return _is_about(fleet.intents.pause, fleet.deployments.get(name))


def is_undone(fleet: Fleet, name: str) -> bool:
    """Return whether something else than what the file says is to run."""
    return _is_about(fleet.intents.undo, fleet.deployments.get(name))


def _is_about(intents: Iterable[PauseIntent | UndoIntent | PromoteIntent], declared: Deployment | None) -> bool:
    """Return whether one of them is about a deployment as the file still has it."""
    return declared is not None and any(
        (one.deployment, one.declared) == (declared.name, declared.declared_template) for one in intents
    )


# ---- undo ----


def steered(fleet: Fleet, declared: Deployment) -> Deployment:
    """Return ``declared`` with the templates that are to run: the file's, or those that a command went back to.

    A cluster that was not known when the command was given runs the same as the others where these differ in nothing,
    and else what the file says.
    """
    if declared.name not in fleet.intents.steered or not is_undone(fleet, declared.name):
        return declared
    undo = next(one for one in fleet.intents.undo if one.deployment == declared.name)
    if undo.reloads:
        strategy = Strategy.RELOAD
    else:
        strategy = Strategy.AUTO if declared.rollout.strategy is Strategy.RELOAD else declared.rollout.strategy
    back = {target.cluster: target for target in undo.targets}
    alike = len({target.revision for target in undo.targets}) == len({one.revision for one in declared.targets}) == 1
    of_others = undo.targets[0] if alike else None
    return attrs.evolve(
        declared,
        targets=tuple(_back(one, back.get(one.cluster), of_others) for one in declared.targets),
        elsewhere=tuple(_back(one, back.get(one.cluster), of_others) for one in declared.elsewhere),
        rollout=attrs.evolve(declared.rollout, strategy=strategy),
    )


def _back(target: Target, known: Target | None, of_others: Target | None) -> Target:
    found = known or of_others
    if found is None:
        return target
    return attrs.evolve(target, template=found.template, revision=found.revision)


# ---- promote ----


def vouched(fleet: Fleet, declared: Deployment, cluster: str, revision: str, known: GroupMemory) -> GroupMemory:
    """Return what to believe of a group: that it is proven, if a person said so."""
    if known.proven or declared.name not in fleet.intents.steered:
        return known
    said = fleet.deployments.get(declared.name)
    if said is None or not _is_about(fleet.intents.promote, said):
        return known
    own = said.target_on(cluster)
    if own is None or own.revision != revision:
        return known
    version = own.template.model.version
    if declared.rollout.strategy is Strategy.RELOAD and known.version != version:
        return known
    return known.as_proven()


# ---- pause ----


def standing_still(rows: Sequence[Row], wanted: int, max_surge: int) -> tuple[Row, ...]:
    """Return ``rows`` with aims that leave each group what it was asked for, so that only what is lost is made again.

    What is wanted may change meanwhile. More comes to the newest revision that is proven, less goes from whoever has
    most. As long as two revisions stand side by side, so does what surges. Where nobody can write now, what should
    stand there is for others to say.
    """
    movable = [row for row in rows if row.writable]
    left = max(0, wanted - sum(row.aim for row in rows if not row.writable))
    aims = {row.key: row.group.target if row.group is not None else 0 for row in movable}
    if wanted == 0 or not any(aims.values()):
        return tuple(rows)
    mixed = len({key.revision for key, aim in aims.items() if aim}) > 1
    while sum(aims.values()) > left + (max_surge if mixed else 0):
        aims[_fullest(movable, aims).key] -= 1
    aims[_heir(movable, aims).key] += max(0, left - sum(aims.values()))
    return tuple(attrs.evolve(row, aim=aims.get(row.key, row.aim)) for row in rows)


def _fullest(rows: Sequence[Row], aims: dict[RowKey, int]) -> Row:
    return min(rows, key=lambda row: (-aims[row.key], row.generation, row.key))


def _heir(rows: Sequence[Row], aims: dict[RowKey, int]) -> Row:
    asked = [row for row in rows if aims[row.key]] or list(rows)
    return max(asked, key=lambda row: (row.proven and not row.failed, row.generation, row.key))


def paused(name: str, rows: Sequence[Row]) -> Held | None:
    """Return that the rollout stands still because a person said so, if there is one: what else runs than should."""
    at_rest = all(row.alive == (row.aim if row.current else 0) for row in rows)
    if at_rest:
        return None
    change = Change(ChangeKind.FIX_INPUT, f"`roadstead rollout resume {name}` lets it go on")
    reason = Reason(code=ReasonCode.PAUSED, detail="the rollout was paused by command", change=change)
    return Held(deployment=name, cluster="", reason=reason)
