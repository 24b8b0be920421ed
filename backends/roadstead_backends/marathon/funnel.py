"""Why Marathon starts nothing on any agent: its own funnel of offers, checked against what Mesos says of agents. Pure.

Neither says it all. Marathon counts an offer under the first thing that is against it, and sees no agent that has
nothing left to offer; Mesos knows every agent with its numbers, and nothing of ports and rules. Together they tell
which agents are ruled out, which are full, and how much less would do. A change is suggested only where, by these
numbers, it would be enough by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

import attrs

from roadstead.model import Constraint, Operator, Resources, Template, WholeGpus
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Cpus, Memory
from roadstead_backends.marathon.mesos import Agent, Amounts
from roadstead_backends.marathon.messages import OfferSummary

__all__ = ["Lacking", "amounts_of", "waiting_reason"]

_MIB: Final = 1024**2
_WORDS: Final[Mapping[str, str]] = {
    "UnfulfilledRole": "are reserved for other roles",
    "UnfulfilledConstraint": "do not meet the constraints",
    "NoCorrespondingReservationFound": "have not the volume reserved",
    "AgentMaintenance": "are in maintenance",
    "InsufficientCpus": "have too little CPU left",
    "InsufficientMemory": "have too little memory left",
    "InsufficientDisk": "have too little disk left",
    "InsufficientGpus": "have too few GPUs left",
    "InsufficientPorts": "have not the ports free",
    "DeclinedScarceResources": "have room, and GPUs, which Marathon keeps for apps that ask for some",
}
_RULED_OUT: Final = frozenset({"UnfulfilledRole", "UnfulfilledConstraint", "NoCorrespondingReservationFound"})
_SCARCE: Final = "DeclinedScarceResources"
_NUMBERED: Final = frozenset(
    {"UnfulfilledConstraint", "InsufficientCpus", "InsufficientMemory", "InsufficientDisk", "InsufficientGpus"}
)
"""What Mesos' own numbers of an agent say as well."""


@attrs.frozen(kw_only=True)
class Lacking:
    """An app that lacks ``count`` tasks, with what one of them needs and where those are that it has.

    ``gpu_attribute`` is the attribute of agents that says which GPUs they have; ``placed`` names the agent of each.
    """

    template: Template
    count: int
    placed: tuple[str, ...] = ()
    gpu_attribute: str | None = None

    @cached_property
    def needs(self) -> Amounts:
        """What one task is given."""
        return amounts_of(self.template.resources)


def amounts_of(resources: Resources) -> Amounts:
    """Return what a task is given on its agent: memory and disk by whole MiB."""
    return Amounts(
        cpu=resources.cpu.milli,
        memory=-(-resources.memory.bytes // _MIB) * _MIB,
        disk=-(-resources.disk.bytes // _MIB) * _MIB,
        gpus=resources.gpu.count if isinstance(resources.gpu, WholeGpus) else 0,
    )


def waiting_reason(lacking: Lacking, offers: OfferSummary, agents: Iterable[Agent]) -> Reason:
    """Return why no agent is given the tasks that an app lacks; ``agents`` are empty where nobody knows them."""
    sight = _Sight(lacking, tuple(agents))
    declined = {one.reason: one.declined for one in offers.reject_summary_last_offers if one.declined}
    raw = ", ".join(f"{name} {count}" for name, count in declined.items())
    said = "; ".join(filter(None, (sight.told, _told_by_offers(declined, sight))))
    code = _code(declined, sight)
    detail = f"{_LEADS[code]}: {said}" if said else _LEADS[code]
    count, total = (len(sight.agents) - len(sight.open), len(sight.agents)) if sight.agents else (0, 0)
    change = _scarce(lacking) if set(declined) == {_SCARCE} else sight.change if code in _HOPELESS else None
    return Reason(
        code=code, detail=detail, count=count, total=total, raw=raw and f"offers declined: {raw}", change=change
    )


_LEADS: Final[Mapping[ReasonCode, str]] = {
    ReasonCode.NO_MATCHING_NODE: "no agent may take it",
    ReasonCode.NO_CAPACITY: "no agent has room for it",
    ReasonCode.STARTING: "Marathon waits for an offer of Mesos that fits",
}
_HOPELESS: Final = frozenset({ReasonCode.NO_MATCHING_NODE, ReasonCode.NO_CAPACITY})


def _told_by_offers(declined: Mapping[str, int], sight: _Sight) -> str:
    """Return what Marathon has against offers, where the agents' numbers do not say the same."""
    if sight.agents and not sight.open and set(declined) <= _NUMBERED:
        return ""
    total = sum(declined.values())
    words = ", ".join(f"{count} {_WORDS.get(name, name)}" for name, count in declined.items())
    return f"of the {total} agents that offered something last, {words}" if words else ""


def _code(declined: Mapping[str, int], sight: _Sight) -> ReasonCode:
    """Return what both sources come to: Marathon's word counts, and the agents' numbers where it is silent on some."""
    if sight.agents and not sight.matching:
        return ReasonCode.NO_MATCHING_NODE
    if declined and set(declined) <= _RULED_OUT and not any(one not in sight.open for one in sight.matching):
        return ReasonCode.NO_MATCHING_NODE
    if declined or not sight.open:
        return ReasonCode.NO_CAPACITY
    return ReasonCode.STARTING


def _scarce(lacking: Lacking) -> Change:
    memory = Memory(lacking.needs.memory)
    text = (
        "set GPU_SCHEDULING_BEHAVIOR: unrestricted in backend_options.marathon.labels, "
        f"or add an agent without GPUs with {Cpus(lacking.needs.cpu)} CPU and {memory} of memory free"
    )
    return Change(ChangeKind.FIX_INPUT, text, "backend_options.marathon.labels")


# ---- what Mesos says ----


class _Sight:
    """The agents as one app sees them."""

    def __init__(self, lacking: Lacking, agents: tuple[Agent, ...]) -> None:
        self._lacking = lacking
        self.agents = agents

    @cached_property
    def matching(self) -> tuple[Agent, ...]:
        """Those that it may be on, full or not."""
        return self._allowed(self._lacking.template.placement.constraints)

    @cached_property
    def open(self) -> tuple[Agent, ...]:
        """Those of them that have room for one more."""
        return tuple(one for one in self.matching if self._room(one, self._lacking.needs))

    @cached_property
    def told(self) -> str:
        """What is against it, counted by Mesos' own numbers."""
        if not self.agents:
            return ""
        counts = Counter(self._against(one) for one in self.agents)
        words = [f"{what} on {count}" for what, count in sorted(counts.items()) if what]
        if self.open:
            words.append(f"by Mesos' numbers it would fit on {self.open[0].name}")
        return f"{', '.join(words)} (of {len(self.agents)} agents)"

    @cached_property
    def change(self) -> Change | None:
        """The cheapest change that would be enough for all that it lacks."""
        if not self.agents:
            return None
        found = (self._less(), self._fewer_constraints(), self._another_agent())
        return next((one for one in found if one is not None), None)

    def _against(self, agent: Agent) -> str:
        """Return the first thing that is against an agent, in the fleet file's words; empty where nothing is."""
        if agent.closed:
            return agent.closed
        wrong = [one for one in self._rules() if not _holds(one, agent.attributes)]
        if wrong:
            return f"constraint {wrong[0].attribute}"
        if self._spread_room(agent) <= 0:
            return "placement.spread"
        free, needs = agent.free, self._lacking.needs
        for name, left, asked, text in (
            ("cpu", free.cpu, needs.cpu, lambda value: str(Cpus(value))),
            ("memory", free.memory, needs.memory, _memory),
            ("disk", free.disk, needs.disk, _memory),
            ("gpu", free.gpus, needs.gpus, str),
        ):
            if asked > left:
                return f"{name} (at most {text(self._most_free[name])} free, {text(asked)} asked)"
        return ""

    @cached_property
    def _most_free(self) -> Mapping[str, int]:
        free = [one.free for one in self.matching]
        return {
            "cpu": max(one.cpu for one in free),
            "memory": max(one.memory for one in free),
            "disk": max(one.disk for one in free),
            "gpu": max(one.gpus for one in free),
        }

    def _rules(self, constraints: tuple[Constraint, ...] | None = None) -> tuple[Constraint, ...]:
        """Return its constraints, or these instead, and the models of GPUs as one more."""
        gpu = self._lacking.template.resources.gpu
        own = self._lacking.template.placement.constraints if constraints is None else constraints
        if isinstance(gpu, WholeGpus) and gpu.models and self._lacking.gpu_attribute is not None:
            return (*own, _one_of(self._lacking.gpu_attribute, gpu.models))
        return own

    def _allowed(self, constraints: tuple[Constraint, ...]) -> tuple[Agent, ...]:
        rules = self._rules(constraints)
        return tuple(
            one
            for one in self.agents
            if not one.closed and all(_holds(rule, one.attributes) for rule in rules) and self._spread_room(one) > 0
        )

    def _spread_room(self, agent: Agent) -> int:
        spread = self._lacking.template.placement.spread
        if spread is None or spread.max_per is None:
            return self._lacking.count
        return spread.max_per - self._crowd[agent.attributes.get(spread.by, "")]

    @cached_property
    def _crowd(self) -> Counter[str]:
        spread = self._lacking.template.placement.spread
        by_name = {one.name: one for one in self.agents}
        placed = (by_name[name] for name in self._lacking.placed if name in by_name)
        return Counter(one.attributes.get(spread.by, "") for one in placed) if spread is not None else Counter()

    def _room(self, agent: Agent, needs: Amounts) -> int:
        """Return how many tasks that need so much an agent has room for, at most as many as are lacking."""
        free = agent.free
        pairs = ((free.cpu, needs.cpu), (free.memory, needs.memory), (free.disk, needs.disk), (free.gpus, needs.gpus))
        return min([self._lacking.count, *(left // asked for left, asked in pairs if asked)])

    def _fits(self, agents: Iterable[Agent], needs: Amounts) -> bool:
        """Return whether all that is lacking has a place on these agents, under the cap of its spread."""
        spread, wanted = self._lacking.template.placement.spread, self._lacking.count
        if spread is None or spread.max_per is None:
            found = 0
            for one in agents:
                found += self._room(one, needs)
                if found >= wanted:
                    return True
            return False
        rooms: Counter[str] = Counter()
        for one in agents:
            rooms[one.attributes.get(spread.by, "")] += self._room(one, needs)
        caps = (min(room, max(0, spread.max_per - self._crowd[value])) for value, room in rooms.items())
        return sum(caps) >= wanted

    def _less(self) -> Change | None:
        """Return the request that has to be lowered the least so that all fits; never to less than half."""
        found = []
        for name, asked, unit, text in self._requests():
            least, most = -(-asked // (2 * unit)), asked // unit - 1
            if least <= 0 or least > most:
                continue

            def suffices(steps: int, name: str = name, unit: int = unit) -> bool:
                return self._fits(self.matching, attrs.evolve(self._lacking.needs, **{name: steps * unit}))

            if suffices(least):
                value = _greatest(least, most, suffices) * unit
                said = f"lower resources.{name} from {text(asked)} to {text(value)}"
                found.append(
                    (
                        1 - value / asked,
                        Change(ChangeKind.LOWER_REQUEST, said, f"resources.{name}", (Amount(name, value),)),
                    )
                )
        return min(found, key=lambda one: one[0])[1] if found else None

    def _requests(self) -> Iterator[tuple[str, int, int, Callable[[int], str]]]:
        needs = self._lacking.needs
        yield "cpu", needs.cpu, 1, lambda value: str(Cpus(value))
        yield "memory", needs.memory, _MIB, _memory
        yield "disk", needs.disk, _MIB, _memory

    def _fewer_constraints(self) -> Change | None:
        placement = self._lacking.template.placement
        for index, constraint in enumerate(placement.constraints):
            others = placement.constraints[:index] + placement.constraints[index + 1 :]
            if self._fits(self._allowed(others), self._lacking.needs):
                text = f"drop the constraint on {constraint.attribute}"
                return Change(ChangeKind.DROP_CONSTRAINT, text, f"placement.constraints.{index}")
        return None

    def _another_agent(self) -> Change:
        needs, count = self._lacking.needs, self._lacking.count
        spread = self._lacking.template.placement.spread
        apart = spread is not None and spread.max_per is not None
        each = 1 if apart else count
        free = f"{Cpus(needs.cpu * each)} CPU and {_memory(needs.memory * each)} of memory free"
        gpus = f" and {needs.gpus * each} GPUs" if needs.gpus else ""
        allowed = " that its constraints allow" if self._rules() else ""
        agents = f"{count} agents" if apart and count > 1 else "an agent"
        own = f", each with its own {spread.by}" if apart and spread is not None and count > 1 else ""
        return Change(ChangeKind.ADD_NODE, f"add {agents}{allowed} with {free}{gpus}{own}")


def _one_of(attribute: str, values: Iterable[str]) -> Constraint:
    return Constraint(attribute=attribute, operator=Operator.IN, values=tuple(values))


def _holds(constraint: Constraint, attributes: Mapping[str, str]) -> bool:
    """Return whether an agent meets a rule; a pattern that only Java understands is taken to be met."""
    try:
        return constraint.holds(attributes)
    except re.error:
        return True


def _memory(value: int) -> str:
    """Return an amount of memory in whole MiB, as it is written in the fleet file."""
    return str(Memory(value - value % _MIB if value > _MIB else value))


def _greatest(least: int, most: int, suffices: Callable[[int], bool]) -> int:
    """Return the greatest number up to ``most`` that suffices; ``least`` does, and more never suffices sooner."""
    while least < most:
        middle = (least + most + 1) // 2
        if suffices(middle):
            least = middle
        else:
            most = middle - 1
    return least
