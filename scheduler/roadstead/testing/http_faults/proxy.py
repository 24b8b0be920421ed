"""The proxy as a test holds it: an address, a script, and what really happened."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from roadstead.testing.http_faults.relay import Relay, Upstream
from roadstead.testing.http_faults.rules import Applied, Exchange, Rule, Script
from roadstead.testing.http_faults.shaping import Next
from roadstead.units import Duration

__all__ = ["FaultProxy"]

R = TypeVar("R")
_HOST = "127.0.0.1"


class FaultProxy:
    """Stands before the server at ``upstream``, which is ``http://HOST:PORT`` or ``https://HOST:PORT``.

    ``trusts`` is what an ``https`` server is verified with. With ``tls``, a server's context with a certificate that
    the clients trust, they connect by TLS too. It works on a thread of its own from ``start`` to ``close``, or in a
    ``with``, at whose end all faults must have happened (:meth:`check`).

    Faults come by rules, or at once: ``cut``, ``silence``, ``refusing``. Everything may be called from any thread.
    """

    def __init__(
        self,
        upstream: str,
        rules: Iterable[Rule] = (),
        *,
        trusts: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = urlsplit(upstream)
        secure = address.scheme == "https"
        if address.hostname is None or address.scheme not in ("http", "https"):
            raise ValueError(f"{upstream!r} is no address of a server: write https://HOST:PORT")
        if secure != (trusts is not None):
            raise ValueError(f"{upstream!r} needs {'`trusts`' if secure else 'no `trusts`'}")
        self._tls = tls
        self._moved = threading.Condition()
        self._relay = Relay(
            Upstream(host=address.hostname, port=address.port or (443 if secure else 80), tls=trusts),
            Script.of(rules),
            threading.RLock(),
            self._notify,
        )
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server((_HOST, 0))
        self._port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @property
    def port(self) -> int:
        """The port that clients connect to, on 127.0.0.1."""
        return self._port

    @property
    def url(self) -> str:
        """The address that clients connect to, without a slash at the end."""
        return f"{'https' if self._tls is not None else 'http'}://{_HOST}:{self._port}"

    # ---- what is to happen ----

    def add(self, rule: Rule) -> Rule:
        """Add a rule, for the requests from now on, and return it."""
        with self._relay.lock:
            self._relay.script.add(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule away."""
        with self._relay.lock:
            self._relay.script.remove(rule)

    def cut(self, path: str = "") -> int:
        """End the connections of all requests under way whose path and query ``path`` is found in; return how many."""
        return self._order(path, Next.CUT)

    def silence(self, path: str = "") -> int:
        """Let nothing more through on the connections of such requests, and leave them open; return how many."""
        return self._order(path, Next.SILENCE)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse new connections meanwhile, and end those that there are."""
        self._call(self._stop_listening())
        self._socket = _held(self._port)
        self.cut()
        self._call(self._relay.end())  # and the connections on which nothing is under way
        try:
            yield
        finally:
            self._call(self._listen())

    # ---- what happened ----

    @property
    def applied(self) -> tuple[Applied, ...]:
        """Every fault that happened, in order."""
        with self._relay.lock:
            return tuple(self._relay.script.applied)

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request that ended, in the order in which they did."""
        with self._relay.lock:
            return tuple(self._relay.script.exchanges)

    @property
    def under_way(self) -> tuple[str, ...]:
        """The path and query of every request that is under way."""
        return tuple(live.target for live in tuple(self._relay.live))

    def wait_for(self, happened: Callable[[FaultProxy], bool], timeout: Duration) -> bool:
        """Wait until ``happened`` is true of this proxy; return whether it is."""
        with self._moved:
            return self._moved.wait_for(lambda: happened(self), timeout.seconds)

    def check(self) -> None:
        """Raise :class:`NotApplied` where a rule was not applied as often as it says."""
        with self._relay.lock:
            self._relay.script.check()

    # ---- its life ----

    def start(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        self._call(self._listen())
        return self

    def close(self) -> None:
        """End all connections, and itself."""
        if self._thread.ident is not None:
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._socket.close()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self.check()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, what: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._relay.accept, sock=self._socket, ssl=self._tls)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end(self) -> None:
        await self._stop_listening()
        await self._relay.end()

    def _order(self, path: str, what: Next) -> int:
        return self._call(self._ordered(path, what))

    async def _ordered(self, path: str, what: Next) -> int:
        met = [live for live in self._relay.live if re.search(path, live.target)]
        for live in met:
            live.ordered = what
            live.task.cancel()
        return len(met)

    def _notify(self) -> None:
        with self._moved:
            self._moved.notify_all()


def _held(port: int) -> socket.socket:
    """Return a socket that holds a port without listening there: whoever connects is refused, and nobody takes it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((_HOST, port))
    return made
