"""The steps from one tree of groups to another (``DeploymentPlan``), pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.groups import RootGroup
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["Action", "ActionKind", "Plan", "Step", "layers", "steps_between"]


class ActionKind(enum.Enum):
    """What is done to one app or pod."""

    START = "Start"
    STOP = "Stop"
    SCALE = "Scale"
    RESTART = "Restart"


@attrs.frozen(kw_only=True)
class Action:
    """One of a step's actions; ``victims`` are the ids of instances to give up first."""

    kind: ActionKind
    spec: RunSpec
    victims: tuple[str, ...] = ()

    def shown(self) -> Document:
        """The action as it is answered."""
        subject = "pod" if self.spec.is_pod else "app"
        return {"action": f"{self.kind.value}{self.spec.kind}", subject: str(self.spec.id)}


@attrs.frozen
class Step:
    """Actions that go on at the same time; the next step waits for all of them."""

    actions: tuple[Action, ...]

    def shown(self) -> Document:
        """The step as it is answered."""
        return {"actions": [action.shown() for action in self.actions]}


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """A deployment: what it leads from, to, and how."""

    id: str
    original: RootGroup
    target: RootGroup
    steps: tuple[Step, ...]
    version: int

    @property
    def affected(self) -> list[RunSpec]:
        """What any action touches, each once, in the order of the steps."""
        found: dict[PathId, RunSpec] = {}
        for step in self.steps:
            for action in step.actions:
                found.setdefault(action.spec.id, action.spec)
        return list(found.values())

    def shown(self) -> Document:
        """The plan as events carry it."""
        return {"id": self.id, "steps": [step.shown() for step in self.steps], "version": written(self.version)}


def steps_between(
    original: RootGroup, target: RootGroup, victims: Mapping[PathId, tuple[str, ...]] | None = None
) -> tuple[Step, ...]:
    """Stop what is gone, start what is new, then change by layers of dependencies; empty steps are dropped."""
    before, after = original.specs, target.specs
    stops = [Action(kind=ActionKind.STOP, spec=spec) for path, spec in before.items() if path not in after]
    starts = [Action(kind=ActionKind.START, spec=spec) for path, spec in after.items() if path not in before]
    changed = {path for path, spec in after.items() if path not in before or not _same(before[path], spec)}
    steps = [Step(tuple(stops)), Step(tuple(starts))]
    for layer in layers(changed, target):
        actions = (_change(before.get(spec.id), spec, (victims or {}).get(spec.id, ())) for spec in layer)
        steps.append(Step(tuple(action for action in actions if action is not None)))
    return tuple(step for step in steps if step.actions)


def _same(one: RunSpec, other: RunSpec) -> bool:
    return one is other or (one.stamps == other.stamps and one.document == other.document)


def _change(old: RunSpec | None, new: RunSpec, victims: tuple[str, ...]) -> Action | None:
    if old is None:
        return Action(kind=ActionKind.SCALE, spec=new)
    upgrade = new.is_upgrade_of(old)
    changed = upgrade or old.version != new.version
    if (not upgrade and old.instances != new.instances) or (changed and new.instances == 0):
        return Action(kind=ActionKind.SCALE, spec=new, victims=victims)
    if changed:
        return Action(kind=ActionKind.RESTART, spec=new)
    return None


def layers(changed: set[PathId], target: RootGroup) -> list[list[RunSpec]]:
    """The changed apps and pods by the length of their longest chain of dependencies, shortest first."""
    if not changed:
        return []
    waits = target.dependencies()
    depths: dict[PathId, int] = {}

    def depth(path: PathId) -> int:
        if path not in depths:
            depths[path] = 1 + max((depth(each) for each in waits[path]), default=0)
        return depths[path]

    found: dict[int, list[RunSpec]] = {}
    for path, spec in target.specs.items():
        if path in changed:
            found.setdefault(depth(path), []).append(spec)
    return [found[each] for each in sorted(found)]
