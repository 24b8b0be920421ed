"""The wires of simulated clusters: which server answers at an address, and the runtime that asks it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from roadstead.model import Template
from roadstead.spi.runtime import Launch, Program, Server
from roadstead.units import Duration
from roadstead.world import Endpoint, ModelState, ModelStatus

__all__ = ["Network", "SimulatedRuntime", "shared_network"]

_NAME = "simulated"


class Network:
    """Knows who answers where; one for all the clusters and runtimes that are to reach each other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answering: dict[Endpoint, Callable[[int], ModelState]] = {}
        self._loading: dict[Endpoint, Callable[[int], None]] = {}
        self._given = 0

    def address(self) -> Endpoint:
        """Return an address that nobody had before, from the range kept for benchmarks (RFC 2544)."""
        with self._lock:
            self._given += 1
            last = self._given % (1 << 17)
            host = f"198.{18 + (last >> 16)}.{last >> 8 & 255}.{last & 255}"
            return Endpoint(host=host, grpc=8500 + (self._given >> 17), rest=8501 + (self._given >> 17))

    def listen(self, endpoint: Endpoint, answer: Callable[[int], ModelState], load: Callable[[int], None]) -> None:
        """Let ``answer`` speak for an address, and ``load`` be told which version to load there."""
        with self._lock:
            self._answering[endpoint] = answer
            self._loading[endpoint] = load

    def forget(self, endpoint: Endpoint) -> None:
        """Let nobody answer at an address any more."""
        with self._lock:
            self._answering.pop(endpoint, None)
            self._loading.pop(endpoint, None)

    def ask(self, endpoint: Endpoint, version: int) -> ModelState | None:
        """Return what the server at an address says of a version, ``None`` where nobody answers."""
        with self._lock:
            answer = self._answering.get(endpoint)
        return answer(version) if answer is not None else None

    def tell(self, endpoint: Endpoint, version: int) -> None:
        """Tell the server at an address to load ``version``; where nobody answers, nobody hears it."""
        with self._lock:
            load = self._loading.get(endpoint)
        if load is not None:
            load(version)


_SHARED = Network()


def shared_network() -> Network:
    """Return the one network of this process, which clusters and runtimes made by name are on."""
    return _SHARED


class SimulatedRuntime:
    """A serving engine without an engine: it asks the simulated servers themselves."""

    def __init__(self, network: Network | None = None) -> None:
        self._network = network if network is not None else shared_network()

    def check(self, template: Template) -> tuple[str, ...]:
        """Return what is wrong with a template; everything suits a model that is only pretended."""
        if template.runtime.name != _NAME:
            return (f"the runtime is {template.runtime.name!r}, not {_NAME!r}",)
        return ()

    def launch(self, template: Template) -> Launch:
        """Return a launch that names the template; simulated clusters run nothing."""
        args = (f"--model={template.model.source}", f"--version={template.model.version}")
        return Launch(program=Program(executable=_NAME), args=args, grpc_port=8500, rest_port=8501)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:  # noqa: ARG002  # answers are immediate here
        """Ask the server for its model's state."""
        state = self._network.ask(server.endpoint, server.template.model.version)
        if state is None:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error="no route to host")
        return state

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:  # noqa: ARG002  # nothing is waited for
        """Tell the server to load ``version`` beside what it serves, and to serve that from then on."""
        self._network.tell(server.endpoint, version)

    def close(self) -> None:
        """Release nothing."""
