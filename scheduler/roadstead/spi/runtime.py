"""The runtime protocol: how one serving engine is launched, and what it says of its model.

:meth:`Runtime.launch` is pure: the same template gives the same launch on every machine. What differs from place to
place stands in it as a variable that the backend expands, written ``$(NAME)`` as in a Kubernetes pod's arguments:

``$(HOST)``
    the address that the server must listen on
``$(MODEL_DIR)``
    the folder that holds the model's version folders, as the server sees it
``$(CONFIG_DIR)``
    the folder where the launch's ``files`` are
``$(GRPC_PORT)``, ``$(REST_PORT)``
    the ports that the server must listen on: the launch's own, or others where the place has them to give

They stand in arguments, in the values of ``env`` and in the contents of ``files``; a name that is not one of these is
left as it is.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import attrs

from roadstead.model import Template
from roadstead.traffic import ServerLoad
from roadstead.units import Duration
from roadstead.world import Endpoint, ModelState

__all__ = ["Check", "ConfigFile", "Launch", "MeasuresLoad", "Program", "Runtime", "Server"]


@attrs.frozen
class ConfigFile:
    """A generated file, readable by the server; ``name`` is a plain file name, ``content`` may hold variables."""

    name: str
    content: str


@attrs.frozen
class Program:
    """What to run where replicas are processes.

    ``module`` is a Python module to be run with the interpreter of the daemon's environment, ``executable`` a program
    to be found on the PATH or where the cluster's options say. Exactly one is set.
    """

    module: str | None = None
    executable: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.module is None) == (self.executable is None):
            raise ValueError("a program is either a module or an executable")


@attrs.frozen
class Check:
    """What a healthy server answers over REST: ``GET path`` gives 200 and a body with ``expects`` in it."""

    path: str
    expects: str


@attrs.frozen(kw_only=True)
class Launch:
    """How to start a server, whatever starts it.

    ``grpc_port`` and ``rest_port`` are what it listens on where each server has an address of its own, and ``None`` for
    what it does not offer; where servers share one, others stand for them, so they are said as variables.
    ``image`` is for clusters that run containers. ``rest_ready_path`` answers 200 over REST when the model's version is
    known. ``check`` is what a gateway asks by itself, and is the same for all versions of one model. ``finishes``: told
    to end (SIGTERM), it takes no more requests, answers those that it has, however long they take, and ends.
    ``says_health``: gRPC's health service on ``grpc_port`` says SERVING for as long as its model is available.
    """

    program: Program
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    files: tuple[ConfigFile, ...] = ()
    grpc_port: int | None = None
    rest_port: int | None = None
    image: str | None = None
    rest_ready_path: str = ""
    check: Check | None = None
    finishes: bool = False
    says_health: bool = False


@attrs.frozen(kw_only=True)
class Server:
    """One server process to be asked: where it answers, what it was started from, which process it is."""

    endpoint: Endpoint
    template: Template
    incarnation: str


class Runtime(Protocol):
    """Knows one serving engine. Must be cheap to import; clients are imported at the first probe."""

    def check(self, template: Template) -> tuple[str, ...]:
        """Return what is wrong with this template for this engine, a sentence each; empty if it can be launched."""

    def launch(self, template: Template) -> Launch:
        """Return how to start a server for ``template``; pure."""

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask the server for its model's state, and where the template has a canary and the model is available, try it.

        Never raises for what a server may do: no answer is ``UNKNOWN`` with the error's text. Called from several
        threads.
        """

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Have the server serve ``version`` instead of what it serves now, and return when it does.

        No request fails meanwhile. May be called again, for the same version or another. Raises
        :class:`roadstead.errors.RoadsteadError`; the server then serves what it served, or is still loading.
        """

    def close(self) -> None:
        """Close every connection."""


@runtime_checkable
class MeasuresLoad(Protocol):
    """A runtime whose servers count their own requests: what is known of the load where no gateway measures it."""

    def load(self, server: Server, *, timeout: Duration) -> ServerLoad | None:
        """Return what the server counted for the template's model since it started; ``None`` where it does not say.

        Never raises for what a server may do. Called from several threads.
        """
