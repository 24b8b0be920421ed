"""What stands beside the groups: Services and budgets of ours, quotas and autoscalers of others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from roadstead.model import GpuPart, GpuPartition, Quota, Resources, WholeGpus
from roadstead.units import Cpus, Memory
from roadstead.world import Group
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.objects import (
    Autoscaler,
    Budget,
    ResourceQuota,
    ScaleTarget,
    Service,
    VerticalAutoscaler,
)
from roadstead_backends.kubernetes.quantities import cpus_left, cpus_used, memory_left, memory_used, whole

__all__ = ["Standing"]

_STRANGE_FLOOR = -1
"""What is shown of a budget that nobody of us would write, so that it is written anew."""

_CPU = ("requests.cpu", "cpu", "limits.cpu")
_MEMORY = ("requests.memory", "memory", "limits.memory")
_GPU = ("requests.nvidia.com/gpu",)


class Standing:
    """The objects that are not groups."""

    def __init__(self, owner_id: str) -> None:
        self._owner_id = owner_id
        self._services: dict[str, Service] = {}
        self._budgets: dict[str, Budget] = {}
        self._quotas: dict[str, ResourceQuota] = {}
        self._scalers: dict[str, str] = {}
        self._scaled: dict[str, str] = {}
        self._settled: Mapping[str, int] = MappingProxyType({})
        self._is_stale = False
        self._owners: frozenset[str] | None = frozenset()

    def put_service(self, name: str, service: Service | None) -> None:
        """Note a Service as it is now."""
        self._is_stale, self._owners = True, None
        if service is None:
            self._services.pop(name, None)
        else:
            self._services[name] = service

    def put_budget(self, name: str, budget: Budget | None) -> None:
        """Note a disruption budget as it is now."""
        self._is_stale, self._owners = True, None
        if budget is None:
            self._budgets.pop(name, None)
        else:
            self._budgets[name] = budget

    def put_autoscaler(self, name: str, autoscaler: Autoscaler | None) -> tuple[str, ...]:
        """Note an autoscaler of others as it is now; return the names of the groups that this is about."""
        target = autoscaler.spec.scale_target_ref if autoscaler is not None else None
        return self._put_scaler(f"horizontalpodautoscaler/{name}", target)

    def put_vertical(self, name: str, autoscaler: VerticalAutoscaler | None) -> tuple[str, ...]:
        """Note a vertical autoscaler of others as it is now; return the names of the groups that this is about.

        It takes pods away, and changes them as they are made; one that only recommends does neither.
        """
        acts = autoscaler is not None and autoscaler.spec.update_policy.update_mode != "Off"
        target = autoscaler.spec.target_ref if autoscaler is not None and acts else None
        return self._put_scaler(f"verticalpodautoscaler/{name}", target)

    def _put_scaler(self, scaler: str, target: ScaleTarget | None) -> tuple[str, ...]:
        before = self._scalers.pop(scaler, "")
        if target is not None and target.kind == "ReplicaSet":
            self._scalers[scaler] = target.name
        self._scaled = {group: name for name, group in sorted(self._scalers.items(), reverse=True)}
        return tuple(filter(None, (before, self._scalers.get(scaler, ""))))

    def scaled_by(self, group: str) -> str:
        """Return the autoscaler that decides about a group of that name; empty where none does."""
        return self._scaled.get(group, "")

    def put_quota(self, name: str, quota: ResourceQuota | None) -> None:
        """Note a quota of the namespace as it is now."""
        if quota is None:
            self._quotas.pop(name, None)
        else:
            self._quotas[name] = quota

    def service(self, name: str) -> Service | None:
        """Return the Service of a name, whoever owns it."""
        return self._services.get(name)

    def services(self, deployment: str) -> tuple[Service, ...]:
        """Return all Services of ours that belong to a deployment, those of its groups too."""
        return tuple(
            one
            for one in self._services.values()
            if self.is_ours(one.metadata) and one.metadata.labels.get(names.DEPLOYMENT) == deployment
        )

    def budget(self, name: str) -> Budget | None:
        """Return the disruption budget of a name, whoever owns it."""
        return self._budgets.get(name)

    def is_ours(self, meta: Meta) -> bool:
        """Return whether an object carries our owner id."""
        return meta.labels.get(names.OWNER_ID) == self._owner_id

    @property
    def foreign_owners(self) -> frozenset[str]:
        """Whose objects have our names besides ours."""
        if self._owners is None:
            metas = [one.metadata for one in self._services.values()]
            metas += [one.metadata for one in self._budgets.values()]
            self._owners = frozenset(meta.labels.get(names.OWNER_ID, "") for meta in metas if not self.is_ours(meta))
        return self._owners

    def settled(self) -> Mapping[str, int]:
        """Return the floor of each deployment whose objects stand as they should; the same object while they do."""
        if self._is_stale:
            self._is_stale = False
            found = {
                deployment: self._floor(one.metadata.name)
                for one in self._services.values()
                if (deployment := self._stands_for(one)) is not None
            }
            if found != self._settled:
                self._settled = MappingProxyType(found)
        return self._settled

    def quota(self, groups: Iterable[Group]) -> Quota | None:
        """Return what the namespace's quotas leave to us, what we hold of them included; ``None`` without any."""
        if not self._quotas:
            return None
        held = _held(groups)
        limits: dict[str, int] = {}
        for one in self._quotas.values():
            for what, keys in (("cpu", _CPU), ("memory", _MEMORY), ("gpu", _GPU)):
                for key in keys:
                    if key in one.status.hard:
                        hard, used = _amount(what, one.status.hard[key]), _used(what, one.status.used.get(key, "0"))
                        ours = max(0, hard - max(0, used - held[what]))
                        limits[what] = min(ours, limits.get(what, ours))
        return Quota(
            cpu=Cpus(limits["cpu"]) if "cpu" in limits else None,
            memory=Memory(limits["memory"]) if "memory" in limits else None,
            gpu=limits.get("gpu"),
        )

    def _stands_for(self, service: Service) -> str | None:
        """Return the deployment that a Service is the address of, where it is as we would write it."""
        labels = service.metadata.labels
        deployment, fleet = labels.get(names.DEPLOYMENT, ""), labels.get(names.FLEET, "")
        expected = names.deployment_labels(fleet, self._owner_id, deployment)
        named = service.metadata.name == names.settled_name(fleet, deployment)
        going = service.metadata.deletion is not None
        return deployment if named and service.spec.selector == expected and not going else None

    def _floor(self, name: str) -> int:
        budget = self._budgets.get(name)
        if budget is None or not self.is_ours(budget.metadata):
            return 0
        floor = budget.spec.min_available
        return floor if isinstance(floor, int) and budget.metadata.deletion is None else _STRANGE_FLOOR


def _amount(what: str, text: str) -> int:
    match what:
        case "cpu":
            return cpus_left(text).milli
        case "memory":
            return memory_left(text).bytes
        case _:
            return whole(text) * 1000


def _used(what: str, text: str) -> int:
    match what:
        case "cpu":
            return cpus_used(text).milli
        case "memory":
            return memory_used(text).bytes
        case _:
            return whole(text) * 1000


def _held(groups: Iterable[Group]) -> Mapping[str, int]:
    total = {"cpu": 0, "memory": 0, "gpu": 0}
    for group in groups:
        count = len(group.living)
        resources = group.template.resources
        total["cpu"] += count * resources.cpu.milli
        total["memory"] += count * resources.memory.bytes
        total["gpu"] += count * _gpus(resources)
    return total


def _gpus(resources: Resources) -> int:
    match resources.gpu:
        case WholeGpus(count=count):
            return count * 1000
        case GpuPart() | GpuPartition() | None:
            return 0
