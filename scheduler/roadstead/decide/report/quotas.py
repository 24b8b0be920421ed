"""What owners hold of their quotas, before and after a plan."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.decide.ledger import Ledger
from roadstead.decide.scaling import is_removed
from roadstead.holdings import Use, use_of
from roadstead.model import Fleet, Quota
from roadstead.plans import Plan
from roadstead.units import Cpus, Memory
from roadstead.world import World

__all__ = ["QuotaChange", "quota_changes"]


@attrs.frozen(kw_only=True)
class QuotaChange:
    """What one owner holds now, and when everything wanted is there.

    ``gpu`` counts thousandths of a device; a limit of ``None`` is no limit.
    """

    owner: str
    cpu: Cpus
    cpu_then: Cpus
    cpu_limit: Cpus | None
    memory: Memory
    memory_then: Memory
    memory_limit: Memory | None
    gpu: int
    gpu_then: int
    gpu_limit: int | None


def quota_changes(fleet: Fleet, world: World, plan: Plan) -> Iterator[QuotaChange]:
    """Yield what every owner with a quota holds now, and what when all that is wanted is there."""
    ledger = Ledger(fleet, world, plan.memory)
    then: dict[str, Use] = {}
    for name in world.shards.keys() - fleet.deployments.keys():
        shard = world.shards[name]
        if not is_removed(fleet, name):
            then[shard.owner] = then.get(shard.owner, Use()) + shard.held
    for declared in fleet.deployments.values():
        if not is_removed(fleet, declared.name):
            use = use_of(declared.targets[0].template.resources) * plan.wanted.get(declared.name, declared.replicas)
            then[declared.owner] = then.get(declared.owner, Use()) + use
    for owner, quota in sorted(fleet.quotas.items()):
        yield _quota(owner, quota, ledger.owned(owner), then.get(owner, Use()))


def _quota(owner: str, quota: Quota, now: Use, then: Use) -> QuotaChange:
    return QuotaChange(
        owner=owner,
        cpu=Cpus(now.cpu),
        cpu_then=Cpus(then.cpu),
        cpu_limit=quota.cpu,
        memory=Memory(now.memory),
        memory_then=Memory(then.memory),
        memory_limit=quota.memory,
        gpu=now.gpu,
        gpu_then=then.gpu,
        gpu_limit=quota.gpu,
    )
