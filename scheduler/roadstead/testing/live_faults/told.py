"""A runtime whose servers need no model: whether one answers is what its cluster's subject says."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import attrs

from roadstead.model import Template
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import RuntimePlugin
from roadstead.spi.runtime import Launch, Runtime, Server
from roadstead.units import Duration
from roadstead.world import Endpoint, ModelState, ModelStatus

__all__ = ["RUNTIME", "ToldRuntime", "answers", "host_with"]

RUNTIME = "told"


def answers(endpoint: Endpoint, timeout: Duration) -> bool:
    """Return whether :mod:`roadstead.testing.server`, or anybody else, answers at an address."""
    port = endpoint.rest if endpoint.rest is not None else endpoint.grpc
    with suppress(OSError), socket.create_connection((endpoint.host, port or 0), timeout.seconds) as connection:
        connection.settimeout(timeout.seconds)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return connection.recv(16).startswith(b"HTTP/1.0 200")
    return False


@attrs.frozen
class ToldRuntime:
    """An engine of servers that are all started as ``started``; ``serves`` says which of them answer."""

    started: Launch
    serves: Callable[[Endpoint, Duration], bool]

    def check(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002  # everything suits a model that nobody loads
        """Return what is wrong with a template."""
        return ()

    def launch(self, template: Template) -> Launch:  # noqa: ARG002  # every model is served alike
        """Return how a server is started."""
        return self.started

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask whether the server answers."""
        if not self.serves(server.endpoint, timeout):
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error="nobody answers")
        version = server.template.model.version
        return ModelState(status=ModelStatus.AVAILABLE, incarnation=server.incarnation, versions=(version,))

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Do nothing: no story asks for it."""

    def close(self) -> None:
        """Release nothing."""


@attrs.frozen
class _Plugin:
    runtime: Runtime

    @hookimpl
    def roadstead_runtimes(self) -> Iterator[RuntimePlugin]:
        """Bring the runtime."""
        yield RuntimePlugin(
            name=RUNTIME,
            factory=lambda: self.runtime,
            engines=(RUNTIME,),
            formats=("any",),
            summary="servers without a model, for tests",
        )


def host_with(runtime: Runtime) -> PluginHost:
    """Return every installed plugin, and this runtime beside them."""
    host = PluginHost.installed()
    host.register(_Plugin(runtime), Provenance(distribution="roadstead", version="tests", module=__name__))
    return host
