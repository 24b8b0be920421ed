"""The stories: what owners, administrators and others do, each on a cluster at rest."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from roadstead.model import Deployment, HealthSpec, ModelSpec, RolloutSpec, RuntimeSpec, StopSpec, Template
from roadstead.template import target
from roadstead.testing.live_faults.stage import OWNER, Stage
from roadstead.testing.live_faults.subject import LiveCluster
from roadstead.testing.live_faults.told import RUNTIME
from roadstead.units import Duration

__all__ = ["ANCHOR", "STORIES", "Act", "Story", "deployment"]

ANCHOR = "anchor"


@attrs.frozen(kw_only=True)
class Act:
    """What happens, once all is at rest: at least ``floor`` replicas serve from then on until the next rest.

    At most ``most`` are there at once that were not told to stop.
    """

    do: Callable[[Stage], None]
    floor: int
    most: int


@attrs.frozen(kw_only=True)
class Story:
    """A fleet with ``replicas`` of one deployment, or none, and what happens to it."""

    name: str
    replicas: int
    acts: tuple[Act, ...]


def deployment(cluster: LiveCluster, replicas: int, *, model: int = 0) -> Deployment:
    """Return the deployment of every story, of one of the two models."""
    terms = cluster.terms
    template = Template(
        model=ModelSpec(name=f"model-{model}", source=terms.sources[model]),
        runtime=RuntimeSpec(name=RUNTIME, engine=RUNTIME, image=terms.launch.image),
        resources=terms.resources,
        placement=terms.placement,
        health=HealthSpec(
            every=Duration(200), failures=2, start_within=Duration(60_000), node_lost_after=terms.node_lost_after
        ),
        stop=StopSpec(drain_within=Duration(300), kill_after=Duration(1_000)),
    )
    return Deployment(
        name=ANCHOR,
        owner=OWNER,
        targets=(target(cluster.spec.name, template),),
        replicas=replicas,
        rollout=RolloutSpec(progress_deadline=Duration(120_000)),
    )


def _declare(stage: Stage, replicas: int, model: int = 0) -> None:
    stage.declare(deployment(stage.cluster, replicas, model=model))


def _roll_and_back(stage: Stage) -> None:
    _declare(stage, 2, model=1)
    _declare(stage, 2)


def _empty_a_node(stage: Stage) -> None:
    give_back = stage.cluster.empty_a_node()
    give_back()


STORIES: tuple[Story, ...] = (
    Story(name="create", replicas=0, acts=(Act(do=lambda stage: _declare(stage, 2), floor=0, most=2),)),
    Story(
        name="scale by hand",
        replicas=2,
        acts=(
            Act(do=lambda stage: stage.scale(ANCHOR, 3), floor=2, most=3),
            Act(do=lambda stage: stage.scale(ANCHOR, 1), floor=1, most=3),
        ),
    ),
    Story(name="roll", replicas=2, acts=(Act(do=lambda stage: _declare(stage, 2, model=1), floor=2, most=3),)),
    Story(
        name="roll, and change one's mind",
        replicas=2,
        acts=(Act(do=_roll_and_back, floor=2, most=3),),
    ),
    Story(name="delete", replicas=2, acts=(Act(do=lambda stage: stage.delete(ANCHOR), floor=0, most=2),)),
    Story(
        name="put back what others change",
        replicas=2,
        acts=(
            Act(do=lambda stage: stage.cluster.resize(1), floor=1, most=2),
            Act(do=lambda stage: stage.cluster.meddle(), floor=1, most=3),
        ),
    ),
    Story(name="drain a node", replicas=2, acts=(Act(do=_empty_a_node, floor=1, most=3),)),
    Story(name="replace the daemon", replicas=2, acts=(Act(do=Stage.replace_daemon, floor=2, most=2),)),
)
