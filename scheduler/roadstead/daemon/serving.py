"""The sockets that the daemon answers on, bound before anything is promised, and the two HTTP servers behind them."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

from roadstead.act.state import StateDirectory
from roadstead.daemon.errors import CannotListen

__all__ = ["Server", "bind_control", "bind_monitoring"]

_BACKLOG = 64
_PATIENCE = 1.0


def bind_control(state: StateDirectory) -> socket.socket:
    """Return the bound control socket, readable by its owner only; what an earlier daemon left is replaced.

    Only whoever holds the lock of the state directory may call this. Raises :class:`StateError` for a path that is too
    long and :class:`CannotListen` for one that cannot be bound.
    """
    path = state.usable_socket()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        # The mode is right from the first moment: the directory is ours alone, and the mask is the process's.
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"{path} cannot be listened on: {error.strerror or error}", hint="set daemon.state to a directory of yours"
        ) from error
    return listener


def bind_monitoring(address: str) -> socket.socket:
    """Return the bound TCP socket for ``HOST:PORT``; raises :class:`CannotListen`, and for anything but loopback."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not port.isdigit() or not _is_loopback(host):
        raise CannotListen(
            f"daemon.http {address!r} is no loopback address with a port",
            hint="write 127.0.0.1:7070; other addresses would need tls and a token, and have neither yet",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(
            f"daemon.http {address} cannot be listened on: {error.strerror or error}",
            hint="another daemon may have it: set daemon.http to a free port",
        ) from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Server(uvicorn.Server):
    """One application on one bound socket.

    uvicorn wakes ten times a second to look whether it should end, and takes the process's signals for itself. Here the
    daemon owns the signals and says when it is time, and an idle server sleeps.
    """

    def __init__(self, application: Starlette, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._listener = listener
        self._end = asyncio.Event()

    async def run_until_ended(self) -> None:
        """Answer requests until :meth:`end`."""
        await self.serve(sockets=[self._listener])

    def end(self) -> None:
        """Have :meth:`run_until_ended` return, once what is being answered is answered."""
        self.should_exit = True
        self._end.set()

    async def main_loop(self) -> None:
        """Wait for the end, without looking at the clock."""
        await self._end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what is being answered, and hang up on whoever does not read it."""
        patience = asyncio.get_running_loop().call_later(_PATIENCE, self._hang_up)
        try:
            await super().shutdown(sockets)
        finally:
            patience.cancel()

    def _hang_up(self) -> None:
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the daemon."""
        yield
