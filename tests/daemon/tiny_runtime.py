"""A serving engine of a few lines, installed for the daemon under test as a stranger's plugin would be."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable

from roadstead.errors import Rejected
from roadstead.model import Template
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import RuntimePlugin
from roadstead.spi.runtime import Check, Launch, Program, Server
from roadstead.units import Duration
from roadstead.world import ModelState, ModelStatus

PORT = 8501


class TinyRuntime:
    """Launches ``tiny-server`` from the PATH and asks it over HTTP."""

    def check(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """Find nothing wrong."""
        return ()

    def launch(self, template: Template) -> Launch:
        """Return how to start the server."""
        args = ("$(HOST)", "$(REST_PORT)", str(template.model.version), *template.runtime.args)
        check = Check(path="/", expects='"version"')
        return Launch(program=Program(executable="tiny-server"), args=args, rest_port=PORT, check=check)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask for the version that it serves."""
        connection = http.client.HTTPConnection(server.endpoint.host, server.endpoint.rest, timeout=timeout.seconds)
        try:
            connection.request("GET", "/")
            versions = (int(json.loads(connection.getresponse().read())["version"]),)
        except (OSError, http.client.HTTPException) as error:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=str(error))
        finally:
            connection.close()
        return ModelState(status=ModelStatus.AVAILABLE, incarnation=server.incarnation, versions=versions)

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:  # noqa: ARG002
        """Refuse."""
        raise Rejected("a tiny server serves what it was started with", cluster="", subject=server.incarnation)

    def close(self) -> None:
        """Release nothing."""


@hookimpl
def roadstead_runtimes() -> Iterable[RuntimePlugin]:
    """Bring the runtime."""
    yield RuntimePlugin(
        name="tiny", factory=TinyRuntime, engines=("tiny",), formats=("tf_saved_model",), summary="a server for tests"
    )
