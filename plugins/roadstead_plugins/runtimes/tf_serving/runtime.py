"""The runtime ``tf_serving``: the contract of :mod:`roadstead.spi.runtime` for TensorFlow Serving's API."""

from __future__ import annotations

import os
import threading
import time
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Final

from roadstead.errors import RoadsteadError
from roadstead.model import Template
from roadstead.spi.load import Caller, Destination, NotConnected, Wire, Work
from roadstead.spi.runtime import Launch, Server
from roadstead.traffic import ServerLoad
from roadstead.units import Duration
from roadstead.world import ModelState, ModelStatus
from roadstead_plugins.runtimes.tf_serving import launch, rest_client
from roadstead_plugins.runtimes.tf_serving.answers import Answer, NoAnswer, verdict
from roadstead_plugins.runtimes.tf_serving.metrics_page import server_load
from roadstead_plugins.runtimes.tf_serving.reloading import NotReloaded, Steps

if TYPE_CHECKING:
    import grpc

    from roadstead_plugins.runtimes.tf_serving.grpc_client import Channels

__all__ = ["TfServing"]

_GRPC_PACKAGES: Final = frozenset({"google", "grpc", "tensorflow", "tensorflow_serving"})

_LOOK: Final = 5.0
"""Seconds for one look at a server that is being reloaded: it has much to do, and is asked again."""

_STALE: Final = 2 * launch.FOLDERS_EVERY + 1.0
"""Seconds in which TensorFlow's own server acts on what it was told: at the next look into the folders."""


class TfServing:
    """Both engines: what differs between them is how they are started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed: dict[str, str] = {}
        self._channels: Channels | None = None

    def check(self, template: Template) -> tuple[str, ...]:
        """Return what is wrong with this template, a sentence each."""
        return launch.problems(template)

    def launch(self, template: Template) -> Launch:
        """Return how to start a server."""
        return launch.launch(template)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask for the state of the template's version, over gRPC, or REST where gRPC is not installed.

        A canary is sent once the model is available, and again until it was answered well once in this process.
        """
        deadline = time.monotonic() + timeout.seconds
        found = verdict(self._versions(server, timeout.seconds), server.template.model.version)
        if found.status is ModelStatus.AVAILABLE:
            wrong = self._canary(server, max(0.001, deadline - time.monotonic()))
            if isinstance(wrong, NoAnswer):
                return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=wrong.text)
            if wrong:
                return ModelState(status=ModelStatus.FAILED, incarnation=server.incarnation, error=wrong)
        return ModelState(
            status=found.status, incarnation=server.incarnation, versions=found.versions, error=found.error
        )

    def _versions(self, server: Server, timeout: float) -> Answer:
        name = server.template.model.name
        if server.endpoint.grpc is not None and self._grpc is not None:
            channel = self._channel_to(server, self._grpc)
            # Over gRPC a question stands in line with all the predictions; over REST it overtakes those of gRPC. A
            # server that has too much to do is not one that is gone.
            other_way = server.endpoint.rest is not None
            answer: Answer = self._grpc.versions(channel, name, timeout=timeout / 2 if other_way else timeout)
            if not (other_way and isinstance(answer, NoAnswer) and answer.late):
                return answer
            timeout /= 2
        if server.endpoint.rest is not None:
            return rest_client.versions(server.endpoint, name, timeout=timeout)
        return NoAnswer("the server has no REST port, and gRPC is not installed; install roadstead[tf-serving]")

    def _canary(self, server: Server, timeout: float) -> str | NoAnswer:
        """Return what is wrong with the canary's answer; nothing where there is no canary, or it passed before."""
        body = server.template.health.canary
        if body is None or self._passed.get(server.incarnation) == body:
            return ""
        if server.endpoint.rest is None:
            return "the canary needs a REST port, and the server has none"
        model = server.template.model
        wrong = rest_client.canary(server.endpoint, model.name, model.version, body, timeout=timeout)
        if wrong == "":
            with self._lock:
                self._passed[server.incarnation] = body
                while len(self._passed) > 100_000:  # the oldest first; at worst a canary is sent once more
                    del self._passed[next(iter(self._passed))]
        return wrong

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Make the server serve ``version`` instead, and return when it does, and nothing else.

        The folder is the one of the template: a server that sees it elsewhere, in a container, cannot be told so. A
        server that starts again comes up with the template's version. Raises :class:`roadstead.errors.RoadsteadError`;
        after a failed load the server serves what it served, after the time is over it may still be loading.
        """
        model, client = server.template.model, self._grpc
        if client is None or server.endpoint.grpc is None:
            raise RoadsteadError(f"cannot reload {model.name} without gRPC", hint="install roadstead[tf-serving]")
        channel = self._channel_to(server, client)
        steps = Steps(
            look=lambda left: self._versions(server, min(left, _LOOK)),
            tell=lambda versions, left: str(client.serve(channel, model.name, model.source, versions, timeout=left)),
            stale=0 if server.template.runtime.engine == launch.EMBEDDED else _STALE,
        )
        try:
            steps.reload(version, deadline=time.monotonic() + timeout.seconds)
        except NotReloaded as error:
            raise RoadsteadError(
                f"version {version} of {model.name} at {server.endpoint.host} did not become available: {error}",
                hint=f"is there a folder {model.source}/{version} with a SavedModel in it?",
            ) from error

    def load(self, server: Server, *, timeout: Duration) -> ServerLoad | None:
        """Return what the server's metrics say of the template's model; ``None`` without a page of metrics."""
        if server.endpoint.rest is None:
            return None
        page = rest_client.text_at(server.endpoint, launch.METRICS_PATH, timeout=timeout.seconds)
        return server_load(page, server.template.model.name) if page is not None else None

    def caller(self, destination: Destination, work: Work) -> Caller:
        """Return what puts servers under load."""
        # gRPC would write a line about each connection that a server ends into whatever is on the screen; it reads this
        # when it is imported.
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
        # Both deferred on purpose: they are for one command, and numpy and gRPC are more than a daemon may need.
        try:
            if destination.wire is Wire.REST:
                from roadstead_plugins.runtimes.tf_serving.load.rest_caller import RestCaller  # noqa: PLC0415

                return RestCaller(destination, work)
            from roadstead_plugins.runtimes.tf_serving.load.grpc_caller import GrpcCaller  # noqa: PLC0415
        except ModuleNotFoundError as error:
            missing = f"package {error.name} is not installed, and answers cannot be read without it"
            raise NotConnected(missing, hint="install roadstead[tf-serving]") from error
        return GrpcCaller(destination, work)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._channels is not None:
                self._channels.close()

    @cached_property
    def _grpc(self) -> ModuleType | None:
        # Deferred on purpose: 25 MB that a daemon without replicas, or without the extra, does not need.
        try:
            from roadstead_plugins.runtimes.tf_serving import grpc_client  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] not in _GRPC_PACKAGES:
                raise
            return None
        return grpc_client

    def _channel_to(self, server: Server, grpc_client: ModuleType) -> grpc.Channel:
        with self._lock:
            if self._channels is None:
                self._channels = grpc_client.Channels()
            channels = self._channels
        return channels.to(server.endpoint, server.incarnation)
