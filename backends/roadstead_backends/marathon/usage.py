"""What replicas use, as the agents of Mesos measure it: CPU over the last interval, and resident memory.

Only agents that hold a replica are asked, those first that were not asked for the longest time, ten a second at most
over time, and for no longer than a turn can wait. CPU is the difference of two readings. What is not measured is not in
the answer: unknown is never 0, and what a GPU holds nobody there knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import msgspec

from roadstead.errors import BackendError
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Usage
from roadstead_backends.marathon.master import Master

__all__ = ["Sample", "UsageReader", "between", "sampled"]

_READ_EVERY: Final = Duration(10_000)
_LEAST_APART: Final = Duration(100)
"""How far apart agents are asked on average, at least: of many agents each is asked less often."""

_TURN: Final = Duration(500)
_OLD: Final = Duration(60_000)
_SILENT: Final = Duration(60_000)
_ENOUGH_SILENT: Final = 3
"""How many agents in a row do not answer until none is asked for a while: there is no way to them from here."""

_LEAST_APART_S: Final = 0.5


# ---- what they say ----


class _Statistics(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    timestamp: float = 0.0
    cpus_user_time_secs: float | None = None
    cpus_system_time_secs: float | None = None
    mem_rss_bytes: int | None = None


class _Executor(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    executor_id: str
    source: str = ""
    statistics: _Statistics | None = None


_DECODER: Final = msgspec.json.Decoder(list[_Executor])


@attrs.frozen(kw_only=True)
class Sample:
    """What an agent counted of a task: seconds of CPU since it began, ``at`` which moment (s), memory in bytes."""

    at: float
    cpu_seconds: float | None = None
    memory: int | None = None


def sampled(body: bytes) -> Mapping[str, Sample]:
    """Return what an agent says of every task, by task id: a task that is a command is an executor of its own.

    Raises :class:`ValueError` for what is no answer to ``/monitor/statistics``.
    """
    try:
        said = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"no statistics of an agent: {error}") from error
    return {one.executor_id: _sample(one.statistics) for one in said if one.statistics is not None}


def _sample(said: _Statistics) -> Sample:
    parts = said.cpus_user_time_secs, said.cpus_system_time_secs
    seconds = parts[0] + parts[1] if parts[0] is not None and parts[1] is not None else None
    return Sample(at=said.timestamp, cpu_seconds=seconds, memory=said.mem_rss_bytes)


def between(before: Sample | None, after: Sample) -> Usage:
    """Return what was used between two samples; CPU is unknown for the first one, and where it was counted anew."""
    memory = Memory(after.memory) if after.memory is not None else None
    if before is None or before.cpu_seconds is None or after.cpu_seconds is None:
        return Usage(memory=memory)
    passed, used = after.at - before.at, after.cpu_seconds - before.cpu_seconds
    if passed < _LEAST_APART_S or used < 0:
        return Usage(memory=memory)
    return Usage(cpu=Cpus(round(used / passed * 1000)), memory=memory)


# ---- asking them ----


@attrs.define
class _Asked:
    """What was read of an agent: its samples, what they make, and when it was asked and answered last."""

    samples: Mapping[str, Sample] = attrs.field(factory=dict)
    usage: Mapping[str, Usage] = attrs.field(factory=dict)
    asked_at: float = -1e9
    read_at: float = -1e9
    silent: bool = False

    def learn(self, samples: Mapping[str, Sample]) -> None:
        """Take over newer samples; what was measured between the two before stays for one that is no newer."""
        kept: dict[str, Sample] = {}
        usage: dict[str, Usage] = {}
        for task, sample in samples.items():
            before = self.samples.get(task)
            is_newer = before is None or sample.at - before.at >= _LEAST_APART_S
            kept[task] = sample if before is None or is_newer else before
            usage[task] = between(before, sample) if is_newer else self.usage[task]
        self.samples, self.usage = kept, usage


class UsageReader:
    """Reads what our tasks use from the agents that they are on; for one thread."""

    def __init__(self, master: Master, *, now: Callable[[], float] = time.monotonic) -> None:
        self._master = master
        self._now = now
        self._agents: dict[str, _Asked] = {}
        self._error = ""
        self._in_vain = 0
        self._asked_again_at = -1e9
        self._placed: Mapping[str, str] = {}
        self._last: Mapping[str, Usage] = {}
        self._due_at = -1e9

    @property
    def notes(self) -> tuple[str, ...]:
        """Why what is used is not known, if no agent answers."""
        return (f"no agent says what replicas use: {self._error}",) if self._error else ()

    def read(self, placed: Mapping[str, str]) -> Mapping[str, Usage]:
        """Return what is known of the tasks in ``placed``, which says at which agent's address (its ``pid``) each is.

        The answer is the same object as long as ``placed`` is and nobody was asked meanwhile. Takes half a second, and
        what one agent that does not answer takes, at most.
        """
        if placed is self._placed and self._now() < self._due_at:
            return self._last
        self._agents = {pid: self._agents.get(pid, _Asked()) for pid in frozenset(placed.values())}
        until = self._now() + _TURN.seconds
        every = _every_s(len(self._agents))
        for pid, asked in sorted(self._agents.items(), key=lambda one: one[1].asked_at):
            if self._now() >= until or self._now() < self._asked_again_at:
                break
            if self._now() - asked.asked_at >= (max(every, _SILENT.seconds) if asked.silent else every):
                self._ask(pid, asked)
        if not all(one.silent for one in self._agents.values()):
            self._error = ""
        old = max(_OLD.seconds, 3 * every)
        fresh = [one for one in self._agents.values() if self._now() - one.read_at < old]
        self._last = {task: usage for one in fresh for task, usage in one.usage.items() if task in placed}
        self._placed = placed
        self._due_at = min((one.asked_at for one in self._agents.values()), default=self._now()) + every
        return self._last

    def _ask(self, pid: str, asked: _Asked) -> None:
        """Ask one agent; one that does not answer is passed over, and left alone for a minute."""
        asked.asked_at = self._now()
        try:
            asked.learn(sampled(self._master.read_agent(pid, "/monitor/statistics")))
        except (BackendError, ValueError) as error:
            asked.silent, self._error = True, str(error)
            self._in_vain += 1
            if self._in_vain >= _ENOUGH_SILENT:
                self._asked_again_at = self._now() + _SILENT.seconds
        else:
            asked.silent, asked.read_at = False, self._now()
            self._in_vain = 0


def _every_s(agents: int) -> float:
    """Return after how many seconds an agent is asked again, where there are so many.

    >>> _every_s(3), _every_s(1000)
    (10.0, 100.0)
    """
    return max(_READ_EVERY.seconds, agents * _LEAST_APART.seconds)
