"""Whether a rollout can be paused, promoted or undone as things stand, and what that comes to. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from roadstead.act.intents import paused, promoted, redone, resumed, undone
from roadstead.daemon.errors import NoRollout, NothingToUndo, NotPaused, UnknownRevision
from roadstead.daemon.ordering import Ordered
from roadstead.decide.steering import is_paused, is_undone, steered
from roadstead.memory import DeploymentMemory, GroupMemory, PlanMemory, place
from roadstead.model import Deployment, Fleet, ModelVersion, Strategy, Target, UndoIntent
from roadstead.world import Group, Shard, World

__all__ = ["Steer", "carry_out", "clear", "pause", "promote", "resume", "undo"]


@enum.unique
class Steer(enum.Enum):
    """What can be asked of a rollout."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    UNDO = "undo"
    CLEAR = "clear"


def carry_out(
    asked: Steer, fleet: Fleet, declared: Deployment, world: World, memory: PlanMemory, to: str | None
) -> Ordered:
    """Return what ``asked`` comes to for the deployment that the file declares; ``to`` is for ``UNDO`` only."""
    match asked:
        case Steer.PAUSE:
            return pause(fleet, declared, world)
        case Steer.RESUME:
            return resume(fleet, declared)
        case Steer.PROMOTE:
            return promote(fleet, declared, world, memory)
        case Steer.UNDO:
            return undo(fleet, declared, world, memory, to)
        case Steer.CLEAR:
            return clear(fleet, declared)


def pause(fleet: Fleet, declared: Deployment, world: World) -> Ordered:
    """Return that the rollout stands still; raises :class:`NoRollout` where nothing rolls."""
    if is_paused(fleet, declared.name):
        raise NoRollout(
            f"the rollout of {declared.name} is paused already",
            hint=f"`roadstead rollout resume {declared.name}` ends that",
        )
    if not _rolls(fleet, declared, world):
        raise NoRollout(
            f"nothing of {declared.name} rolls now: all of it is of the revision that it should be",
            hint="a pause is about one rollout, and ends with the next change of the template",
        )
    return Ordered(paused(fleet.intents, declared), f"the rollout of {declared.name} was paused by command")


def resume(fleet: Fleet, declared: Deployment) -> Ordered:
    """Return that the rollout goes on; raises :class:`NotPaused`."""
    if not is_paused(fleet, declared.name):
        raise NotPaused(
            f"the rollout of {declared.name} is not paused",
            hint=f"`roadstead why {declared.name}` says what it waits for",
        )
    return Ordered(resumed(fleet.intents, declared.name), f"the rollout of {declared.name} was resumed by command")


def promote(fleet: Fleet, declared: Deployment, world: World, memory: PlanMemory) -> Ordered:
    """Return that a person vouches for what the file says; raises :class:`NoRollout` where there is nothing to."""
    if is_undone(fleet, declared.name):
        raise NoRollout(
            f"{declared.name} was undone by command, so that what the file says does not run",
            hint=f"`roadstead rollout undo {declared.name} --clear` has it run again",
        )
    shard = world.shards.get(declared.name, Shard(deployment=declared.name))
    known = memory.deployments.get(declared.name, DeploymentMemory(at=0))
    reloads = declared.rollout.strategy is Strategy.RELOAD
    found = []
    for target in declared.targets:
        for cluster, group in shard.groups:
            if (cluster, group.key.revision) == (target.cluster, target.revision):
                learnt = known.groups.get(place(cluster, group.key), GroupMemory())
                version = target.template.model.version
                found.append(learnt.has_proven(version) if reloads else learnt.proven)
    what = _named(declared, declared.targets[0])
    if not found:
        raise NoRollout(f"nothing of {what} of {declared.name} exists yet", hint="wait until some of it serves")
    if all(found):
        raise NoRollout(f"{what} of {declared.name} is proven already", hint="there is nothing left to vouch for")
    return Ordered(promoted(fleet.intents, declared), f"{what} of {declared.name} was promoted by command")


def undo(fleet: Fleet, declared: Deployment, world: World, memory: PlanMemory, to: str | None) -> Ordered:
    """Return that what ran before the current template runs again, or the revision or version ``to``.

    The last proven one before it is taken, and where that was done already, the one before that. Raises
    :class:`NothingToUndo` where none is known, and :class:`UnknownRevision` for one that is not in the history.
    """
    shard = world.shards.get(declared.name, Shard(deployment=declared.name))
    known = memory.deployments.get(declared.name, DeploymentMemory(at=0))
    now = steered(fleet, declared)
    choices = [*_versions(now, shard, known), *_revisions(declared, now, shard, known)]
    if to is not None:
        chosen = next((one for one in choices if to in {one.revision, str(one.version)}), None)
        if chosen is None:
            raise UnknownRevision(
                f"{to!r} is in no history of {declared.name}",
                hint=f"there {_listed(choices)}; the file's own is had again with --clear",
            )
    else:
        chosen = next((one for one in choices if one.earlier and one.proven), None)
        if chosen is None:
            raise NothingToUndo(
                f"no proven revision before the current one is known of {declared.name}",
                hint=f"there {_listed(choices)} to name with --to" if choices else "change its template in the file",
            )
    asked = UndoIntent(
        deployment=declared.name,
        revision=chosen.revision,
        version=chosen.version,
        targets=chosen.targets,
        reloads=chosen.reloads,
        declared=declared.declared_template,
    )
    return Ordered(undone(fleet.intents, asked), f"{declared.name} was taken back to {chosen} by command")


def clear(fleet: Fleet, declared: Deployment) -> Ordered:
    """Return that what the file says runs again; raises :class:`NothingToUndo` where it does."""
    if not is_undone(fleet, declared.name):
        raise NothingToUndo(
            f"{declared.name} was not undone: it runs what the file says", hint="`roadstead rollout undo` goes back"
        )
    text = f"{declared.name} runs again what the file says, by command"
    return Ordered(redone(fleet.intents, declared.name), text)


# ---- what there is to go back to ----


@attrs.frozen(kw_only=True)
class _Choice:
    """Something to go back to; ``earlier`` than what is to run now, so that undoing again goes further back."""

    revision: str
    version: int | None
    targets: tuple[Target, ...]
    reloads: bool
    proven: bool
    earlier: bool

    def __str__(self) -> str:
        return f"revision {self.revision}" if self.version is None else f"version {self.version}"


def _versions(now: Deployment, shard: Shard, known: DeploymentMemory) -> Iterator[_Choice]:
    """Yield the other versions that replicas which reload were seen to serve well, newest first."""
    if now.rollout.strategy is not Strategy.RELOAD:
        return
    wanted = now.targets[0].template.model.wanted
    served: dict[ModelVersion, None] = {}
    for target in now.targets:
        for cluster, group in shard.groups:
            if (cluster, group.key.revision) == (target.cluster, target.revision):
                learnt = known.groups.get(place(cluster, group.key), GroupMemory())
                served.update(dict.fromkeys(learnt.served))
    order = list(served)
    position = order.index(wanted) if wanted in order else len(order)
    for index in reversed(range(len(order))):
        if index != position:
            one = order[index]
            yield _Choice(
                revision=now.targets[0].revision,
                version=one.version,
                targets=tuple(_at_version(target, one) for target in now.targets),
                reloads=True,
                proven=True,
                earlier=index < position,
            )


def _at_version(target: Target, version: ModelVersion) -> Target:
    model = attrs.evolve(target.template.model, version=version.version, digest=version.digest)
    return attrs.evolve(target, template=attrs.evolve(target.template, model=model))


def _revisions(declared: Deployment, now: Deployment, shard: Shard, known: DeploymentMemory) -> Iterator[_Choice]:
    """Yield the other revisions of which a group is kept, newest first; one may have a group on several clusters."""
    running = {(target.cluster, target.revision) for target in now.targets}
    of_file = {(target.cluster, target.revision) for target in declared.targets}
    before = min(
        (group.generation for cluster, group in shard.groups if (cluster, group.key.revision) in running),
        default=_AFTER_ALL,
    )
    found: dict[str, list[tuple[str, Group]]] = {}
    for cluster, group in sorted(shard.groups, key=lambda one: (-one[1].generation, one[0])):
        if (cluster, group.key.revision) not in running | of_file:
            found.setdefault(group.key.revision, []).append((cluster, group))
    for revision, groups in found.items():
        learnt = [known.groups.get(place(cluster, group.key), GroupMemory()) for cluster, group in groups]
        yield _Choice(
            revision=revision,
            version=None,
            targets=tuple(_target(cluster, group) for cluster, group in (*groups, *_others(now, groups, found))),
            reloads=groups[0][1].reloading is not None,
            proven=any(one.proven for one in learnt),
            earlier=min(group.generation for _, group in groups) < before,
        )


_AFTER_ALL = 2**62


def _others(
    now: Deployment, groups: list[tuple[str, Group]], found: dict[str, list[tuple[str, Group]]]
) -> Iterator[tuple[str, Group]]:
    """Yield the newest other group of each cluster on which the same template is another revision."""
    if len({target.revision for target in now.targets}) == 1:
        return
    covered = {cluster for cluster, _ in groups}
    for others in found.values():
        for cluster, group in others:
            if cluster not in covered:
                covered.add(cluster)
                yield cluster, group


def _target(cluster: str, group: Group) -> Target:
    return Target(cluster=cluster, template=group.template, revision=group.key.revision)


def _listed(choices: list[_Choice]) -> str:
    return f"is {', '.join(str(one) for one in choices)}" if choices else "is none"


def _named(declared: Deployment, target: Target) -> str:
    if declared.rollout.strategy is Strategy.RELOAD:
        return f"version {target.template.model.version}"
    return f"revision {target.revision}"


def _rolls(fleet: Fleet, declared: Deployment, world: World) -> bool:
    """Return whether something stands that is not what should run."""
    shard = world.shards.get(declared.name, Shard(deployment=declared.name))
    aimed = {(one.cluster, one.revision): one for one in steered(fleet, declared).targets}
    for cluster, group in shard.groups:
        target = aimed.get((cluster, group.key.revision))
        members = [one for one in shard.members if (one.cluster, one.group.key) == (cluster, group.key)]
        if target is None and (group.target or members):
            return True
        if target is not None and group.reloading is not None:
            behind = group.template.model.wanted != target.template.model.wanted
            if behind or any(one.ready and not one.is_current for one in members):
                return True
    return False
