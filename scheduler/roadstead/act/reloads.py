"""Reloading replicas in place: asked for once, carried out beside the turns, because loading a model takes its time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import attrs

from roadstead.errors import Rejected
from roadstead.plans import Reload
from roadstead.spi.backend import Backend, ChecksModels
from roadstead.spi.runtime import Runtime, Server

__all__ = ["Reloads", "at_once"]


@attrs.frozen
class _Asked:
    """One thing that one process was asked to load."""

    replica: str
    incarnation: str
    version: int


class Reloads:
    """Every reload that is on its way.

    Asking for one that is on its way changes nothing; one that failed says so the next time it is asked for, and is
    begun anew after that. That it succeeded is seen in the model's state and nowhere else.
    """

    def __init__(self, submit: Callable[[Callable[[], None]], Future[None]] | None = None) -> None:
        self._submit = submit or beside
        self._lock = threading.Lock()
        self._running: dict[_Asked, Future[None]] = {}

    def ask(self, step: Reload, backend: Backend, runtime: Runtime) -> bool:
        """Begin what ``step`` says, and return whether it was not on its way; raises how the last attempt failed."""
        if not isinstance(backend, ChecksModels):
            raise Rejected(
                "the backend cannot check a model for a running replica", cluster=step.cluster, subject=step.subject
            )
        asked = _Asked(step.replica, step.incarnation, step.template.model.version)
        with self._lock:
            known = self._running.get(asked)
            if known is not None and not known.done():
                return False
            self._running = {one: future for one, future in self._running.items() if not future.done()}
            if known is not None and (error := known.exception()) is not None:
                raise error
            self._running[asked] = self._submit(lambda: _carry_out(step, backend, runtime))
            return True


def _carry_out(step: Reload, backend: ChecksModels, runtime: Runtime) -> None:
    backend.check_model(step.template)
    server = Server(endpoint=step.endpoint, template=step.template, incarnation=step.incarnation)
    runtime.reload(server, step.template.model.version, timeout=step.template.health.start_within)


def beside(work: Callable[[], None]) -> Future[None]:
    """Do ``work`` on a thread that keeps nobody from ending: what a server was asked to load, it loads."""
    future: Future[None] = Future()
    threading.Thread(target=_fulfil, args=(future, work), name="reload", daemon=True).start()
    return future


def at_once(work: Callable[[], None]) -> Future[None]:
    """Do ``work`` here and now: what stands for a thread where time is simulated."""
    future: Future[None] = Future()
    _fulfil(future, work)
    return future


def _fulfil(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  # whoever asks for the result gets it
        future.set_exception(error)
    else:
        future.set_result(None)
