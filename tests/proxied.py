"""Clusters that are spoken to over HTTP, as subjects of the kit: what bad networks and servers do to a backend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import ClassVar

import attrs

from roadstead.errors import BackendError
from roadstead.testing.conformance import LiveSubject
from roadstead.testing.http_faults import Fault, FaultProxy, LoseReply, LoseRequest, Rule

__all__ = ["ProxiedSubject"]


@attrs.define(kw_only=True)
class ProxiedSubject(LiveSubject):
    """A cluster whose backend connects through ``proxy``.

    A subclass says which requests are ``writes``, by the rule for the next one, and has in ``refusals`` what the server
    can answer without any reason that we could find.
    """

    writes: ClassVar[type[Rule]]
    refusals: ClassVar[Mapping[type[BackendError], Fault]]

    proxy: FaultProxy

    def cut_off(self) -> AbstractContextManager[None]:
        """Let nobody connect to the server."""
        return self.proxy.refusing()

    def clear_the_way(self) -> None:
        """Let the server take the next write as soon as it comes; one that always does needs nothing for that."""

    def lose_reply(self) -> None:
        """Let the next write be carried out unheard."""
        self.clear_the_way()
        self.proxy.add(self.writes(LoseReply()))

    def lose_request(self) -> None:
        """Let the next write not arrive."""
        self.clear_the_way()
        self.proxy.add(self.writes(LoseRequest()))

    @property
    def provokes(self) -> frozenset[type[BackendError]]:
        """The errors that the server's answers can come to."""
        return frozenset(self.refusals)

    def provoke(self, error: type[BackendError]) -> None:
        """Answer the next write in the server's place."""
        self.proxy.add(self.writes(self.refusals[error]))
