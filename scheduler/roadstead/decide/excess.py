"""Replicas that use more than they may: for how long they were seen to, and what their limits are.

Requested, allocated and observed are three numbers. What nobody measures is unknown, which is never 0: it neither adds
to how long a replica was over a limit nor ends that.

Where the kernel holds a CPU limit, nobody is ever over it. Who is at it for as long as that is said to want more, and
nothing is done about it: it harms nobody but itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from roadstead.capabilities import Limit
from roadstead.decide.case import Case
from roadstead.decide.offenders import Offender
from roadstead.holdings import Limited, is_nearly_all, limit_of
from roadstead.memory import DeploymentMemory, ExcessMemory, process_place
from roadstead.model import ExcessAction, ExcessSpec
from roadstead.reasons import Change, ChangeKind, ReasonCode
from roadstead.units import Cpus, Memory
from roadstead.world import Member, Phase, Usage

__all__ = ["is_counting", "learnt", "of_members", "used_of"]


def used_of(usage: Usage | None, what: Limited) -> int | None:
    """Return how much of it was measured, in the unit of :func:`limit_of`; ``None`` is unknown."""
    if usage is None:
        return None
    if what is Limited.CPU:
        return usage.cpu.milli if usage.cpu is not None else None
    amount = usage.memory if what is Limited.MEMORY else usage.gpu_memory
    return amount.bytes if amount is not None else None


# ---- for how long ----

_NOTHING = ExcessMemory()
_NOBODY: Mapping[str, ExcessMemory] = MappingProxyType({})


def learnt(case: Case, known: DeploymentMemory, elapsed: int) -> Mapping[str, ExcessMemory]:
    """Return for how long every server process was seen over its limits, ``elapsed`` ms after what was ``known``.

    Counted until it is long enough. One that has begun to give way keeps its time, though it uses less once nobody
    sends it requests.
    """
    if case.declared is None or case.going or not (known.excess or case.name in case.world.over):
        return _NOBODY
    found = {}
    for member in case.shard.members:
        if member.replica.phase is not Phase.RUNNING:
            continue
        key = process_place(member.cluster, member.replica.id, member.replica.incarnation)
        kept = known.ousted is not None and known.ousted.begun and known.ousted.process == key
        now = _learnt(case, member, known.excess.get(key, _NOTHING), elapsed, kept=kept)
        if now != _NOTHING:
            found[key] = now
    return MappingProxyType(found) if found else _NOBODY


def is_counting(case: Case, times: Mapping[str, ExcessMemory]) -> bool:
    """Return whether any of these is not yet long enough, so that the time that passes now may count."""
    if case.declared is None:
        return False
    longest = case.declared.on_excess.after.ms
    return any(
        ms is not None and ms < longest
        for one in times.values()
        for ms in (one.cpu_ms, one.memory_ms, one.gpu_memory_ms, one.full_ms)
    )


def _learnt(case: Case, member: Member, known: ExcessMemory, elapsed: int, *, kept: bool) -> ExcessMemory:
    assert case.declared is not None
    resources, longest = member.group.template.resources, case.declared.on_excess.after.ms
    usage = case.world.usage.get(member.replica.id) if member.reachable else None

    def counted(what: Limited, known_ms: int | None) -> int | None:
        used, limit = used_of(usage, what), limit_of(resources, what)
        if used is None:
            return known_ms
        if limit is None or used <= limit:
            return known_ms if kept else None
        return _longer(known_ms, elapsed, longest)

    memory_ms = counted(Limited.MEMORY, known.memory_ms)
    gpu_memory_ms = counted(Limited.GPU_MEMORY, known.gpu_memory_ms)
    if not _is_held(case, member.cluster):
        cpu_ms = counted(Limited.CPU, known.cpu_ms)
        return ExcessMemory(cpu_ms=cpu_ms, memory_ms=memory_ms, gpu_memory_ms=gpu_memory_ms)
    used, full_ms = used_of(usage, Limited.CPU), known.full_ms
    if used is not None:
        is_full = is_nearly_all(used, resources.cpu.milli)
        full_ms = _longer(full_ms, elapsed, longest) if is_full else None
    return ExcessMemory(memory_ms=memory_ms, gpu_memory_ms=gpu_memory_ms, full_ms=full_ms)


def _longer(known_ms: int | None, elapsed: int, longest: int) -> int:
    return 0 if known_ms is None else min(longest, known_ms + elapsed)


def _is_held(case: Case, cluster: str) -> bool:
    """Return whether the kernel holds CPU limits there."""
    snapshot = case.world.clusters[cluster].snapshot
    return snapshot is not None and snapshot.capabilities.cpu_limit is Limit.CFS


# ---- who was for too long ----


def of_members(case: Case, known: Mapping[str, ExcessMemory]) -> Iterator[Offender]:
    """Yield who was over a limit for as long as the deployment allows, each once: with the sternest action."""
    if case.declared is None or not known:
        return
    spec = case.declared.on_excess
    for member in case.shard.members:
        replica = member.replica
        times = known.get(process_place(member.cluster, replica.id, replica.incarnation))
        if times is not None and replica.phase is Phase.RUNNING:
            found = tuple(_of_member(case, member, times, spec))
            if found:
                yield max(found, key=lambda one: _STERNEST[one.action])


def _of_member(case: Case, member: Member, times: ExcessMemory, spec: ExcessSpec) -> Iterator[Offender]:
    usage = case.world.usage.get(member.replica.id)
    for what, lasted, action in (
        (Limited.MEMORY, times.memory_ms, spec.memory),
        (Limited.GPU_MEMORY, times.gpu_memory_ms, spec.gpu_memory),
        (Limited.CPU, times.cpu_ms, spec.cpu),
    ):
        limit = limit_of(member.group.template.resources, what)
        if lasted is not None and lasted >= spec.after.ms and limit is not None:
            used = used_of(usage, what)
            yield Offender(
                member=member,
                action=action,
                code=ReasonCode.OVER_LIMIT,
                detail=f"{member.replica.id} {_compared(what, used, limit)}, for {spec.after} or longer",
                because="it uses more than it may",
                remedy=_raised(what, used, limit),
            )
    if times.full_ms is not None and times.full_ms >= spec.after.ms:
        yield _full(member, used_of(usage, Limited.CPU), spec)


def _full(member: Member, used: int | None, spec: ExcessSpec) -> Offender:
    """Return who has used all the CPU that its limit lets through for so long: that is said, and no more."""
    limit = _amount(Limited.CPU, member.group.template.resources.cpu.milli)
    now = f"uses {_amount(Limited.CPU, used)}" if used is not None else "used all"
    return Offender(
        member=member,
        action=ExcessAction.WARN,
        code=ReasonCode.OVER_LIMIT,
        detail=f"{member.replica.id} {now} of {limit} cpu, for {spec.after} or longer: the kernel holds it back",
        because="it uses all the CPU that it may",
        remedy=Change(ChangeKind.FIX_INPUT, f"raise resources.cpu over {limit}, or replicas"),
    )


_STERNEST: Mapping[ExcessAction, int] = MappingProxyType(
    {ExcessAction.WARN: 0, ExcessAction.RESTART: 1, ExcessAction.EVICT: 2}
)


def _compared(what: Limited, used: int | None, limit: int) -> str:
    """Return what is used beside what may be; ``used`` is ``None`` where nobody knows that now."""
    now = f"uses {_amount(what, used)}" if used is not None else "used more than it may"
    before = ", and used more" if used is not None and used <= limit else ""
    return f"{now} of {_amount(what, limit)} {what.value}{before}"


def _raised(what: Limited, used: int | None, limit: int) -> Change:
    """Return that its limit could be what it uses: the only way in which it is within it and stays as it is."""
    if not limit:
        return Change(ChangeKind.FIX_INPUT, "ask for a part of a GPU with resources.gpu")
    key = {Limited.CPU: "cpu", Limited.MEMORY: "memory", Limited.GPU_MEMORY: "gpu.memory"}[what]
    enough = max(used or 0, limit + 1)
    return Change(ChangeKind.FIX_INPUT, f"raise resources.{key} to {_amount(what, _rounded(what, enough))}")


def _rounded(what: Limited, amount: int) -> int:
    """Return an amount that can be read: memory in whole mebibytes."""
    return amount if what is Limited.CPU else -(-amount // _MIB) * _MIB


_MIB = 1024**2


def _amount(what: Limited, amount: int) -> str:
    if what is Limited.CPU:
        return str(Cpus(amount))
    return str(Memory(amount if amount % _MIB == 0 or amount < _MIB else _rounded(what, amount)))
