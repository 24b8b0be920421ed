"""What each kind of event of a scenario does to the pretended world, and the sentence that says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import attrs

from roadstead.bench.scenario import (
    Action,
    ChangeFile,
    ChangeQuota,
    CrashServers,
    DaemonAway,
    Foreign,
    LimitCluster,
    LoseNode,
    Partition,
    Scale,
    SilenceNode,
    Trouble,
)
from roadstead.bench.world import PretendedWorld, Told
from roadstead.model import Fleet, Quota, ScaleIntent, Strategy, Target
from roadstead.template import target
from roadstead.units import Cpus, Duration, Memory

__all__ = ["happen"]


@singledispatch
def happen(event: Action, world: PretendedWorld) -> Told:
    """Let ``event`` happen in ``world`` now, and return what that is."""
    raise TypeError(f"{event!r} is no event, and {world!r} cannot know it")


# ---- to clusters ----


@happen.register
def _lose_node(event: LoseNode, world: PretendedWorld) -> Told:
    world.clusters[event.cluster].lose_node(event.lose_node)
    return Told(world.now, f"{event.lose_node} of {event.cluster} is gone for good", event.cluster)


@happen.register
def _silence_node(event: SilenceNode, world: PretendedWorld) -> Told:
    cluster, node = world.clusters[event.cluster], event.silence_node
    cluster.silence_node(node)
    _later(world, event.lasts, lambda: cluster.return_node(node), f"{node} of {event.cluster} is back", event.cluster)
    return Told(world.now, f"{node} of {event.cluster} loses its power", event.cluster)


@happen.register
def _partition(event: Partition, world: PretendedWorld) -> Told:
    cluster, name = world.clusters[event.partition], event.partition
    cluster.partition(parted=True)
    _later(world, event.lasts, lambda: cluster.partition(parted=False), f"{name} answers again", name)
    return Told(world.now, f"{name} answers nobody; its servers go on", name)


@happen.register
def _foreign_use(event: Foreign, world: PretendedWorld) -> Told:
    cluster, node = world.clusters[event.cluster], event.foreign_use
    cluster.use_foreign(node, cpu=event.cpu, memory=event.memory, gpu_memory=event.gpu_memory)
    where = f"{node} of {event.cluster}"
    end = f"others hold nothing of {where} any more"
    _later(world, event.lasts, lambda: cluster.use_foreign(node, cpu=Cpus(0), memory=Memory(0)), end, event.cluster)
    return Told(world.now, f"others hold {event.cpu} CPU and {event.memory} of memory of {where}", event.cluster)


@happen.register
def _limit(event: LimitCluster, world: PretendedWorld) -> Told:
    quota = Quota(cpu=event.cpu, memory=event.memory, gpu=event.gpu)
    world.clusters[event.limit_cluster].limit(quota)
    return Told(world.now, f"{event.limit_cluster} allows us {_amounts(quota)}", event.limit_cluster)


@happen.register
def _crash(event: CrashServers, world: PretendedWorld) -> Told:
    running = [(cluster, one) for cluster in world.clusters.values() for one in cluster.running(event.crash)]
    for cluster, replica in running[: event.count]:
        cluster.crash(replica, out_of_memory=event.out_of_memory)
    how = "run out of memory" if event.out_of_memory else "crash"
    said = f"{min(event.count, len(running))} of {len(running)} servers of {event.crash} {how}"
    return Told(world.now, said, "", event.crash)


@happen.register
def _trouble(event: Trouble, world: PretendedWorld) -> Told:
    suffix = f"/{event.version}" if event.version is not None else ""
    declared = world.fleet.deployments[event.trouble]
    sources = dict.fromkeys(f"{one.template.model.source}{suffix}" for one in (*declared.targets, *declared.elsewhere))

    def end() -> None:
        for cluster in world.clusters.values():
            for source in sources:
                cluster.afflict(source, None)

    for cluster in world.clusters.values():
        for source in sources:
            cluster.afflict(source, event.how)
    what = f"version {event.version} of {event.trouble}" if suffix else f"the model of {event.trouble}"
    _later(world, event.lasts, end, f"{what} is well again", "", event.trouble)
    return Told(world.now, f"{what}: {event.how.value}", "", event.trouble)


def _later(
    world: PretendedWorld, lasts: Duration | None, end: Callable[[], None], text: str, cluster: str, name: str = ""
) -> None:
    """Order the end of what lasts for a while only."""
    if lasts is None:
        return

    def ended(then: PretendedWorld) -> Told:
        end()
        return Told(then.now, text, cluster, name)

    world.order(world.now + lasts.ms, ended)


# ---- by the owners ----


@happen.register
def _change(event: ChangeFile, world: PretendedWorld) -> Told:
    world.declare(_changed(world.fleet, event))
    given = (("replicas", event.replicas), ("version", event.version), ("source", event.source))
    said = ", ".join(f"{name} {value}" for name, value in given if value is not None)
    return Told(world.now, f"the file says {said} for {event.change}", "", event.change)


def _changed(fleet: Fleet, event: ChangeFile) -> Fleet:
    declared = fleet.deployments[event.change]
    reloads = declared.rollout.strategy is Strategy.RELOAD

    def other(one: Target) -> Target:
        model = one.template.model
        model = attrs.evolve(
            model,
            version=model.version if event.version is None else event.version,
            source=model.source if event.source is None else event.source,
        )
        made = target(one.cluster, attrs.evolve(one.template, model=model), reloads=reloads)
        return attrs.evolve(one, template=made.template, revision=made.revision)

    changed = attrs.evolve(
        declared,
        targets=tuple(other(one) for one in declared.targets),
        elsewhere=tuple(other(one) for one in declared.elsewhere),
        replicas=declared.replicas if event.replicas is None else event.replicas,
    )
    return attrs.evolve(fleet, deployments={**fleet.deployments, event.change: changed})


@happen.register
def _quota(event: ChangeQuota, world: PretendedWorld) -> Told:
    quota = Quota(cpu=event.cpu, memory=event.memory, gpu=event.gpu)
    world.declare(attrs.evolve(world.fleet, quotas={**world.fleet.quotas, event.quota: quota}))
    return Told(world.now, f"the file allows {event.quota} {_amounts(quota)}")


@happen.register
def _scale(event: Scale, world: PretendedWorld) -> Told:
    fleet = world.fleet
    intent = ScaleIntent(
        deployment=event.scale, replicas=event.replicas, declared=fleet.deployments[event.scale].replicas
    )
    others = tuple(one for one in fleet.intents.scale if one.deployment != event.scale)
    world.declare(attrs.evolve(fleet, intents=attrs.evolve(fleet.intents, scale=(*others, intent))))
    return Told(world.now, f"somebody says `roadstead scale {event.scale} {event.replicas}`", "", event.scale)


@happen.register
def _kill(event: DaemonAway, world: PretendedWorld) -> Told:
    world.away_until, world.forgets = world.now + event.lasts.ms, event.forgets
    forgets = ", without its memory" if event.forgets else ""
    return Told(world.now, f"the daemon is killed, and starts again in {event.lasts}{forgets}")


def _amounts(quota: Quota) -> str:
    """Return a quota as a sentence says it."""
    gpu = None if quota.gpu is None else Cpus(quota.gpu)
    parts = (("CPU", quota.cpu), ("of memory", quota.memory), ("GPUs", gpu))
    return ", ".join(f"{amount} {name}" for name, amount in parts if amount is not None) or "all there is"
