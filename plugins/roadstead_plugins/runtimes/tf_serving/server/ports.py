"""The two ports: how each is opened, and how it is closed without losing a call.

Closing has one order for both: nobody new is let in, who is on the way is let in, who is inside is answered. Who comes
too late finds a port that refuses him or a connection that ends before any answer began, and may try elsewhere.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import uvicorn

from roadstead_plugins.runtimes.tf_serving.server.door import Door

log = logging.getLogger(__name__)

DRAIN: Final = 60.0
"""Seconds for what is in flight when we are told to stop."""

LAST_WORDS: Final = 1.0
"""Seconds for answers that are on their way to the network when the last call is done."""

KEEP_ALIVE: Final = 2 * 60 * 60
"""Seconds that an idle REST connection stays open: longer than proxies keep theirs (Envoy: an hour). Of two ends that
close an idle connection, the server must be the later one, or a request meets a connection that is just being closed.
"""

MESSAGE_LIMIT: Final = 2**31 - 1


class PortError(Exception):
    """A port cannot be had."""


class GrpcPort:
    """The gRPC server."""

    def __init__(self, server: grpc.aio.Server, door: Door) -> None:
        self._server = server
        self._door = door

    @classmethod
    async def open(
        cls,
        *,
        host: str,
        port: int,
        arguments: tuple[tuple[str, int | str], ...],
        door: Door,
        register: Callable[[grpc.aio.Server], None],
    ) -> "GrpcPort":
        """Serve what ``register`` adds; ``arguments`` go to gRPC. Raises ``PortError``."""
        options: dict[str, int | str] = {
            # Two servers that may share a port answer in turn, whatever they serve: off, unless a flag says otherwise.
            "grpc.so_reuseport": 0,
            "grpc.max_send_message_length": MESSAGE_LIMIT,
            "grpc.max_receive_message_length": MESSAGE_LIMIT,
            # A proxy that makes sure that we live is no attacker: by default its third ping ends the connection, with
            # all that is in flight on it.
            "grpc.keepalive_permit_without_calls": 1,
            "grpc.http2.max_ping_strikes": 0,
            **dict(arguments),
        }
        server = grpc.aio.server(options=tuple(options.items()))
        register(server)
        address = f"{bracketed(host)}:{port}"
        listen(host, port, "--port").close()  # gRPC itself would only report that it could not
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise PortError(f"cannot listen on {address} for gRPC: {error}; is the port in use?") from error
        await server.start()
        log.info("gRPC at %s", address)
        return cls(server, door)

    async def close(self) -> None:
        """Tell every client to go elsewhere, answer the calls that are there, and end.

        When a gRPC server is told to stop, it cancels the calls that it has received and not yet handed to us. So they
        are let in first, and wait: while nobody is answered, few ask anew, and there comes a moment without such calls.
        """
        self._door.close(hold=True)
        await self._door.silence()
        closing = asyncio.get_running_loop().create_task(self._server.stop(grace=DRAIN))
        await asyncio.sleep(0)  # by now every connection is told
        self._door.release()
        # Who watches the health service would never hang up: the end is when the last prediction is answered.
        empty = asyncio.get_running_loop().create_task(self._door.empty())
        await asyncio.wait((closing, empty), timeout=DRAIN, return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()
        await self._server.stop(grace=LAST_WORDS)
        await closing


class RestPort(uvicorn.Server):
    """The REST server; without uvicorn's own signal handling, for the process has one."""

    def __init__(self, app: Any, *, host: str, port: int, door: Door) -> None:
        """Open the port. Raises ``PortError``."""
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=int(DRAIN),
            )
        )
        self._door = door
        listening = listen(host, port, "--rest_api_port")
        self._serving = asyncio.get_running_loop().create_task(self.serve(sockets=[listening]))
        log.info("REST at %s:%s", bracketed(host), port)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def close(self) -> None:
        """Answer what is there, tell every client with its answer that the connection ends, and end."""
        self.should_exit = True
        await self._serving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, wait for requests that are on their way on open connections, then close those, too."""
        await asyncio.sleep(0.001)  # a timer comes after accepting: none of those who knocked is left outside
        for server in self.servers:
            server.close()
        self._door.close()
        await self._door.silence()
        await super().shutdown(sockets)


def bracketed(host: str) -> str:
    """Return an address as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def listen(host: str, port: int, flag: str) -> socket.socket:
    """Return a socket that listens, or raise ``PortError`` that names the flag."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise PortError(f"cannot listen on {host}:{port} ({flag}): {error.strerror}") from error
    return listening
