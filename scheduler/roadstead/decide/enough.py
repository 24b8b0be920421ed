"""Why nothing more fits on a directed cluster, and the smallest change that would be enough by itself.

Changes are tried in the order of :class:`roadstead.reasons.ChangeKind`, cheapest first, and one is suggested only if
with it, and nothing else changed, there is room for all that is asked for. How much is changed is as little as will do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

import attrs

from roadstead.decide.capacity import room
from roadstead.decide.ledger import DeviceRoom, Freed, Ledger
from roadstead.decide.rooms import Demand, gpu_room, gpu_text, is_wanted, spread_room
from roadstead.decide.survey import NO_MATCH, Entry, Survey, amount, survey
from roadstead.holdings import Placed, Use, use_of
from roadstead.model import Constraint, GpuPart, Operator, PlacementSpec, Resources, Spread, WholeGpus
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.world import Node, Snapshot

__all__ = ["lowered", "refusal"]

_MIB = 2**20


def refusal(
    snapshot: Snapshot, ledger: Ledger, demand: Demand, *, count: int = 1, freed: Freed | None = None
) -> Reason:
    """Return why ``count`` replicas do not all fit on a directed cluster, with the cheapest change that is enough."""
    surveyed = survey(snapshot, ledger, demand)
    sight, total = surveyed.sight(freed), len(snapshot.nodes)
    change = _Search(surveyed, ledger, demand, sight.room, count, freed).cheapest()
    if not total:
        return Reason(code=ReasonCode.NO_MATCHING_NODE, detail=f"{demand.cluster} has no node", change=change)
    counts = ", ".join(f"{label} on {number}" for label, number in sorted(sight.labels.items()) if number)
    if sight.unmatched == total:
        code, detail = ReasonCode.NO_MATCHING_NODE, f"no node of {demand.cluster} matches: {counts}"
        return Reason(code=code, detail=detail, count=sight.unmatched, total=total, change=change)
    told = (
        f"no node of {demand.cluster} has room" if sight.blocked == total else f"{demand.cluster} has no room for all"
    )
    detail = f"{told}: {counts}" if counts else told
    return Reason(code=ReasonCode.NO_CAPACITY, detail=detail, count=sight.blocked, total=total, change=change)


# ---- lowering a request ----


@attrs.frozen(kw_only=True)
class _Request:
    """One amount that a template asks for, in steps of ``unit``, and the resources with another value in its place."""

    key: str
    asked: int
    unit: int
    with_value: Callable[[int], Resources]
    text: Callable[[int], str]


def _requests(resources: Resources) -> Iterator[_Request]:
    def bytes_of(key: str, asked: int, with_value: Callable[[int], Resources]) -> _Request:
        unit = _MIB if asked % _MIB == 0 and asked > _MIB else 1
        return _Request(key=key, asked=asked, unit=unit, with_value=with_value, text=lambda value: str(Memory(value)))

    yield _Request(
        key="cpu",
        asked=resources.cpu.milli,
        unit=1,
        with_value=lambda value: attrs.evolve(resources, cpu=Cpus(value)),
        text=lambda value: str(Cpus(value)),
    )
    yield bytes_of("memory", resources.memory.bytes, lambda value: attrs.evolve(resources, memory=Memory(value)))
    yield bytes_of("disk", resources.disk.bytes, lambda value: attrs.evolve(resources, disk=Memory(value)))
    gpu = resources.gpu
    if isinstance(gpu, WholeGpus):
        yield _Request(
            key="gpu.count",
            asked=gpu.count,
            unit=1,
            with_value=lambda value: attrs.evolve(resources, gpu=attrs.evolve(gpu, count=value)),
            text=str,
        )
    if isinstance(gpu, GpuPart):
        yield _Request(
            key="gpu.share",
            asked=gpu.share.milli,
            unit=1,
            with_value=lambda value: attrs.evolve(resources, gpu=attrs.evolve(gpu, share=GpuShare(value))),
            text=lambda value: str(GpuShare(value)),
        )
    if isinstance(gpu, WholeGpus | GpuPart):
        yield bytes_of(
            "gpu.memory",
            gpu.memory.bytes,
            lambda value: attrs.evolve(resources, gpu=attrs.evolve(gpu, memory=Memory(value))),
        )


def lowered(resources: Resources, suffices: Callable[[Resources], bool]) -> Change | None:
    """Return the one request that has to be lowered the least, as a part of it, so that the rest ``suffices``.

    None is lowered to less than half: that would be another server. Less of a request must never suffice less.
    """
    found: list[tuple[Fraction, str, Change]] = []
    for request in _requests(resources):
        least, most = -(-request.asked // (2 * request.unit)), -(-request.asked // request.unit) - 1
        if request.asked == 0 or least > most or least <= 0:
            continue
        if not suffices(request.with_value(least * request.unit)):
            continue
        while least < most:
            middle = (least + most + 1) // 2
            if suffices(request.with_value(middle * request.unit)):
                least = middle
            else:
                most = middle - 1
        value = least * request.unit
        text = f"lower resources.{request.key} from {request.text(request.asked)} to {request.text(value)}"
        change = Change(ChangeKind.LOWER_REQUEST, text, f"resources.{request.key}", (Amount(request.key, value),))
        found.append((Fraction(request.asked - value, request.asked), request.key, change))
    return min(found)[2] if found else None


# ---- the search ----


class _Search:
    def __init__(
        self, surveyed: Survey, ledger: Ledger, demand: Demand, room_now: int, count: int, freed: Freed | None
    ) -> None:
        self.surveyed = surveyed
        self.snapshot = surveyed.snapshot
        self.ledger = ledger
        self.demand = demand
        self.room_now = room_now
        self.needed = count + demand.ahead
        self.freed = freed

    @cached_property
    def own(self) -> list[Placed]:
        """What the deployment holds itself, without the replica that would be gone."""
        held = list(self.demand.own())
        for one in held:
            if self.freed is not None and (one.node, one.devices) == (self.freed.node, self.freed.devices):
                held.remove(one)
                break
        return held

    def cheapest(self) -> Change:
        """Return the first kind of change that is enough, in the order of their cost."""
        return self._of_the_request() or self._freed_on_a_node() or self._more_nodes()

    def _of_the_request(self) -> Change | None:
        """Return what could be asked for instead; the same for all who ask for the same."""
        known = self.surveyed.changes
        if self.freed is None and self.needed in known:
            return known[self.needed]
        change = (
            lowered(self.demand.template.resources, lambda resources: self._suffices(resources=resources))
            or self._without_a_constraint()
        )
        if self.freed is None:
            known[self.needed] = change
        return change

    def _suffices(self, resources: Resources | None = None, placement: PlacementSpec | None = None) -> bool:
        template = self.demand.template
        changed = attrs.evolve(
            template,
            resources=template.resources if resources is None else resources,
            placement=template.placement if placement is None else placement,
        )
        asked = attrs.evolve(self.demand, template=changed)
        return room(self.snapshot, self.ledger, asked, self.freed, enough=self.needed) >= self.needed

    def _without_a_constraint(self) -> Change | None:
        placement = self.demand.template.placement
        for constraint in placement.constraints:
            others = tuple(one for one in placement.constraints if one is not constraint)
            if self._suffices(placement=attrs.evolve(placement, constraints=others)):
                text = f"drop the constraint on {constraint.attribute}"
                return Change(ChangeKind.DROP_CONSTRAINT, text, _path(placement, constraint))
        spread = placement.spread
        if spread is None or spread.max_per is None:
            return None
        most = max(spread.max_per, *self.demand.crowd.values(), 0) + self.needed

        def suffices(cap: int) -> bool:
            return self._suffices(placement=attrs.evolve(placement, spread=Spread(by=spread.by, max_per=cap)))

        if not suffices(most):
            return None
        least = bisect_left(range(most), 1, lo=spread.max_per + 1, key=suffices)
        text = f"raise placement.spread.max_per for {spread.by} to {least}"
        return Change(ChangeKind.DROP_CONSTRAINT, text, "placement.spread.max_per", (Amount("max_per", least),))

    def _freed_on_a_node(self) -> Change | None:
        """Return what others would have to give up on one node: GPUs are worth more than memory, and that than CPU."""
        spread = self.demand.template.placement.spread
        found: list[Entry]
        if spread is not None and spread.max_per is not None:
            found = list(self._missing_under_caps())
        else:
            special = {one.node for one in self.own} | ({self.freed.node} if self.freed is not None else set())
            lacking = self.needed - self.room_now
            found = list(self.surveyed.first(lacking, self._missing_of_others, special))
            for name in special & self.surveyed.stands.keys():
                node = self.snapshot.by_node[name]
                found += self._missing_on(node, lacking + self.surveyed.room_on(node, self.freed))
        if not found:
            return None
        _, name, missing = min(found, key=lambda one: one[:2])
        assert isinstance(missing, _Missing)
        return Change(ChangeKind.FREE_ON_NODE, f"free {missing.text} on {name}", name, missing.amounts)

    def _missing_of_others(self, node: Node, wanted: int) -> _Missing | None:
        """Return what is missing on a node where the deployment has nothing itself."""
        return _missing(node, self.ledger, self.demand, wanted, None, ())

    def _missing_on(self, node: Node, wanted: int) -> Iterator[Entry]:
        if wanted <= 0 or any(one.kind in NO_MATCH for one in self.surveyed.stand(node, self.freed)):
            return
        own = [one for one in self.own if one.node == node.name]
        missing = _missing(node, self.ledger, self.demand, wanted, self.freed, own)
        if missing is not None:
            yield missing.size, node.name, missing

    def _missing_under_caps(self) -> Iterator[Entry]:
        """Yield what is missing on each node, where no domain may have more than so many."""
        rooms = {node.name: self.surveyed.room_on(node, self.freed) for node in self.snapshot.nodes}
        by_domain: Counter[str] = Counter()
        caps: dict[str, int] = {}
        for node in self.snapshot.nodes:
            domain = self.demand.domain(node)
            by_domain[domain] += rooms[node.name]
            caps.setdefault(domain, max(0, spread_room(node, self.demand, self.freed)))
        everywhere = sum(min(count, caps[domain]) for domain, count in by_domain.items())
        for node in self.snapshot.nodes:
            domain = self.demand.domain(node)
            beside = by_domain[domain] - rooms[node.name]
            wanted = self.needed - (everywhere - min(by_domain[domain], caps[domain])) - beside
            if beside + wanted <= spread_room(node, self.demand, self.freed):
                yield from self._missing_on(node, wanted)

    def _more_nodes(self) -> Change:
        """Return how many nodes would be enough, each empty; or that the conditions contradict the number."""
        missing = self.needed - room(self.snapshot, self.ledger, self.demand, self.freed, enough=self.needed)
        placement = self.demand.template.placement
        spread = placement.spread
        most = None if spread is None else spread.max_per
        contradictory = next((name for name, values in _allowed(placement).items() if not values), None)
        if contradictory is not None:
            text = f"no node can meet the constraints on {contradictory}: they contradict each other"
            return Change(ChangeKind.FIX_INPUT, text, "placement.constraints")
        if spread is None or most is None:
            return self._added(1, missing, "")
        values = _allowed(placement).get(spread.by)
        if values is None:
            each = min(missing, max(1, most))
            nodes = -(-missing // each)
            return self._added(nodes, each, f", each with its own {spread.by}" if nodes > 1 else "")
        if sum(max(0, most - self.demand.crowd.get(value, 0)) for value in values) < self.needed:
            text = f"at most {most} for each {spread.by}, and only in {', '.join(values)}: allow more of one of both"
            return Change(ChangeKind.FIX_INPUT, text, "placement")
        return self._added(len(values), min(missing, most), f", one for each {spread.by} of {', '.join(values)}")

    def _added(self, nodes: int, each: int, where: str) -> Change:
        resources = self.demand.template.resources
        asked = [f"{Cpus(resources.cpu.milli * each)} CPU", f"{Memory(resources.memory.bytes * each)} of memory"]
        if resources.gpu is not None:
            asked.append(f"{f'{each} times ' if each > 1 else ''}{gpu_text(resources.gpu)}")
        matching = " that its constraints allow" if self.demand.template.placement.constraints else ""
        text = f"add {'a node' if nodes == 1 else f'{nodes} nodes'}{matching} with {' and '.join(asked)} free{where}"
        amounts = (Amount("nodes", nodes), Amount("replicas", each))
        return Change(ChangeKind.ADD_NODE, text, self.demand.cluster, amounts)


def _allowed(placement: PlacementSpec) -> Mapping[str, tuple[str, ...]]:
    """Return the values that the constraints allow, of each attribute for which they name some."""
    allowed: dict[str, set[str]] = {}
    for one in placement.constraints:
        if one.operator is Operator.IN:
            allowed[one.attribute] = allowed.get(one.attribute, set(one.values)) & set(one.values)
    return {attribute: tuple(sorted(values)) for attribute, values in allowed.items()}


def _path(placement: PlacementSpec, constraint: Constraint) -> str:
    return f"placement.constraints.{next(at for at, one in enumerate(placement.constraints) if one is constraint)}"


# ---- what others hold ----


@attrs.frozen
class _Missing:
    """What has to become free on a node; ``size`` is to compare it by."""

    size: tuple[int, ...]
    text: str
    amounts: tuple[Amount, ...]


def _missing(
    node: Node, ledger: Ledger, demand: Demand, count: int, freed: Freed | None, own: Sequence[Placed]
) -> _Missing | None:
    """Return what others hold on ``node`` and ``count`` replicas need, or ``None`` where others do not hold as much.

    ``own`` is what the deployment itself holds there, and will not give up for this.
    """
    resources = demand.template.resources
    free = ledger.free(demand.cluster, node, demand.deployment, freed)
    ours = sum((use_of(one.resources) for one in own), Use())
    amounts = []
    for key, asked, left, others in (
        ("cpu", resources.cpu.milli, free.cpu, node.cpu.milli - free.cpu - ours.cpu),
        ("memory", resources.memory.bytes, free.memory, node.memory.bytes - free.memory - ours.memory),
        ("disk", resources.disk.bytes, free.disk, node.disk.bytes - free.disk - ours.disk),
    ):
        lacking = max(0, asked * count - left)
        if lacking > max(0, others):
            return None
        if lacking:
            amounts.append(Amount(key, lacking if key == "cpu" or lacking < _MIB else -(-lacking // _MIB) * _MIB))
    kept = frozenset(device for one in own for device in one.devices)
    devices = _devices_missing(node, ledger, demand, count, freed, kept)
    if devices is None:
        return None
    of = {one.what: one.value for one in amounts}
    size = (len(devices), *(of.get(key, 0) for key in ("memory", "cpu", "disk")))
    texts = [f"GPU {', '.join(devices)}"] if devices else []
    texts += [f"{amount(one.what, one.value)} of {one.what}" for one in amounts]
    whole = tuple(Amount(f"gpu:{device}", 1000) for device in devices)
    return _Missing(size, " and ".join(texts), (*whole, *amounts)) if texts else None


def _devices_missing(
    node: Node, ledger: Ledger, demand: Demand, count: int, freed: Freed | None, kept: frozenset[str]
) -> tuple[str, ...] | None:
    """Return which devices that others alone hold must become free as a whole; ``None`` where that is not enough.

    Those are given up first that have the least left.
    """
    gpu = demand.template.resources.gpu
    if gpu is None:
        return ()
    wanted = [device for device in node.devices if is_wanted(device, gpu)]
    rooms = [ledger.device_room(demand.cluster, node, device, demand.deployment, freed) for device in wanted]
    empty = [DeviceRoom(1000, device.memory.bytes, device.partitions) for device in wanted]
    taken = sorted(
        (at for at in range(len(wanted)) if rooms[at] != empty[at] and wanted[at].id not in kept),
        key=lambda at: (rooms[at].milli, rooms[at].memory, len(rooms[at].partitions), wanted[at].id),
    )
    for number in range(len(taken) + 1):
        emptied = set(taken[:number])
        if gpu_room([empty[at] if at in emptied else rooms[at] for at in range(len(wanted))], gpu) >= count:
            return tuple(wanted[at].id for at in taken[:number])
    return None
