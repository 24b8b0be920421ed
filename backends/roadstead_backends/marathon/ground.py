"""The agents that replicas can be on, read now and then, and the nodes that they are to us.

They are read every few seconds and not with each turn: on a cluster whose own scheduler picks the agent nobody decides
by what is free there, and Marathon itself tells at once what becomes of our tasks. A master that does not answer is no
reason to know nothing of Marathon: the agents stay as they were read last, and the notes say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from roadstead.errors import BackendError
from roadstead.units import Duration
from roadstead.world import Node
from roadstead_backends.marathon.master import Master
from roadstead_backends.marathon.mesos import NOTHING, Agent, Amounts, agents_of, node_of

__all__ = ["Ground"]

_READ_EVERY: Final = Duration(15_000)
_ASKED_AGAIN_AFTER: Final = Duration(60_000)
_NONE: Mapping[str, Agent] = MappingProxyType({})


class Ground:
    """The agents of one cluster; for one thread."""

    def __init__(self, master: Master, *, gpu_attribute: str | None, now: Callable[[], float] = time.monotonic) -> None:
        self.agents: Mapping[str, Agent] = _NONE
        self.nodes: tuple[Node, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._master = master
        self._gpu_attribute = gpu_attribute
        self._now = now
        self._due_at = -1e9

    @property
    def is_due(self) -> bool:
        """Whether the agents should be read again."""
        return self._now() >= self._due_at

    def read(self, role: str, held: Mapping[str, Amounts]) -> None:
        """Read the agents, as they are to a framework of ``role``; never raises for a master that does not answer.

        ``held`` is what our own tasks have on each agent now, by its id: the rest of what is given away is foreign.
        ``agents`` (by id) and ``nodes`` stay the same objects while nothing of them changed.
        """
        try:
            found = agents_of(self._master.call("GET_AGENTS"), role)
        except (BackendError, ValueError) as error:
            self._due_at = self._now() + _ASKED_AGAIN_AFTER.seconds
            known = "are as they were read last" if self.agents else "are not known"
            self.notes = (f"the agents of Mesos {known}: {error}",)
            return
        self._due_at = self._now() + _READ_EVERY.seconds
        self.notes = ()
        agents = {one.id: one for one in found}
        if agents != self.agents:
            self.agents = MappingProxyType(agents)
        nodes = tuple(node_of(one, held.get(one.id, NOTHING), self._gpu_attribute) for one in found)
        if nodes != self.nodes:
            self.nodes = nodes

    def node_of(self, agent: str | None, host: str) -> str:
        """Return what the node of a task is called: as its agent, or as Marathon calls the host while nobody knows."""
        known = self.agents.get(agent or "")
        return known.name if known is not None else host
