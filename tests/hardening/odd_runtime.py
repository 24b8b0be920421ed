"""A serving engine that misbehaves on request, installed for the daemon under test as a stranger's plugin would be."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable

from roadstead.model import Template
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import RuntimePlugin
from roadstead.spi.runtime import Launch, Program, Server
from roadstead.units import Duration
from roadstead.world import ModelState, ModelStatus

PORT = 8501


class OddRuntime:
    """Launches ``odd-server`` from the PATH and asks it over HTTP."""

    def check(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """Find nothing wrong."""
        return ()

    def launch(self, template: Template) -> Launch:
        """Return how to start the server."""
        args = ("$(HOST)", str(PORT), str(template.model.version), *template.runtime.args)
        return Launch(program=Program(executable="odd-server"), args=args, rest_port=PORT)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask for the version that it serves, and whether it does yet."""
        connection = http.client.HTTPConnection(server.endpoint.host, PORT, timeout=timeout.seconds)
        try:
            connection.request("GET", "/")
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException) as error:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=str(error))
        finally:
            connection.close()
        if answer["loading"]:
            return ModelState(status=ModelStatus.LOADING, incarnation=server.incarnation)
        versions = (int(answer["version"]),)
        return ModelState(status=ModelStatus.AVAILABLE, incarnation=server.incarnation, versions=versions)

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Release nothing."""


@hookimpl
def roadstead_runtimes() -> Iterable[RuntimePlugin]:
    """Bring the runtime."""
    yield RuntimePlugin(
        name="odd", factory=OddRuntime, engines=("odd",), formats=("tf_saved_model",), summary="a server that errs"
    )
