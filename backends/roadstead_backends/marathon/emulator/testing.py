"""For tests: an emulated Marathon in a thread of this process, on ports of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs

from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.serving.emulation import Emulation, Machine, Plan
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["Emulated", "Machine", "Plan", "Settings", "emulated"]

_Result = TypeVar("_Result")
_PATIENCE = 30.0


class Emulated:
    """A running emulation. ``url`` is that of its first instance."""

    def __init__(self, emulation: Emulation, loop: asyncio.AbstractEventLoop) -> None:
        self._emulation = emulation
        self._loop = loop
        self.urls = [f"http://{address}" for address in emulation.addresses]
        self.url = self.urls[0]
        self.mesos_url = f"http://{emulation.mesos_address}"

    def do(self, act: Callable[[Ensemble], _Result]) -> _Result:
        """Do something to the emulated Marathon at its present moment, from this thread; return what came of it."""

        async def in_loop() -> _Result:
            ensemble = self._emulation.ensemble
            assert ensemble is not None
            with self._emulation.clock.moment():
                return act(ensemble)

        return asyncio.run_coroutine_threadsafe(in_loop(), self._loop).result(_PATIENCE)

    def advance(self, seconds: float) -> None:
        """Let time pass, where it is moved by hand."""
        self.control("advance", seconds=seconds)

    def control(self, name: str, **call: Any) -> None:
        """Ask for a fault: ``lose-agent``, ``fail-task``, ``lose-leader``..."""
        _, answer = self.ask("POST", f"/emulator/{name}", call, url=self.mesos_url)
        if answer != {}:
            raise ValueError(f"{name}: {answer}")

    def ask(self, method: str, path: str, body: Any = None, *, url: str | None = None) -> tuple[int, Any]:
        """Send a request; return the status and what the answer says, as JSON where it is some."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310  # our own address
            (url or self.url) + path, data=data, method=method, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


@contextlib.contextmanager
def emulated(plan: Plan | None = None) -> Iterator[Emulated]:
    """Run an emulation while the block runs; by default on ports that the system chooses, time moved by hand."""
    chosen = plan or Plan(by_hand=True)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emulated-marathon", daemon=True)
    thread.start()
    try:
        emulation = _in(loop, _opened(attrs.evolve(chosen, port=0, mesos_port=0)))
        try:
            yield Emulated(emulation, loop)
        finally:
            _in(loop, emulation.close())
    finally:
        _in(loop, _the_rest_ended())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE)
        loop.close()


async def _opened(plan: Plan) -> Emulation:
    emulation = Emulation(plan)
    await emulation.open()
    return emulation


async def _the_rest_ended() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def _in(loop: asyncio.AbstractEventLoop, work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(_PATIENCE)
