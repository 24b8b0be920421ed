"""The control API where commands look for it, also after somebody removed its socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from pathlib import Path

from roadstead.act.state import StateDirectory
from roadstead.daemon.api import Api
from roadstead.daemon.serving import Server, bind_control
from roadstead.errors import RoadsteadError

__all__ = ["Controls"]

_LOG = logging.getLogger(__name__)

_LOOK_EVERY = 1.0


class Controls:
    """The control API on its socket, and on a new one where somebody removed that."""

    def __init__(self, api: Api, state: StateDirectory, first: socket.socket) -> None:
        self._api = api
        self._state = state
        self._listener = first
        self._ending = asyncio.Event()

    async def run(self) -> None:
        """Answer requests until :meth:`end`; what is asked on a socket without a name is answered there to its end."""
        servers: list[Server] = []
        serving: list[asyncio.Future[None]] = []
        while not self._ending.is_set():
            servers.append(Server(self._api.control(), self._listener))
            serving.append(asyncio.ensure_future(servers[-1].run_until_ended()))
            await self._while_in_place()
        for server in servers:
            server.end()
        await asyncio.gather(*serving)

    def end(self) -> None:
        """Have :meth:`run` return, once what is being answered is answered."""
        self._ending.set()

    async def _while_in_place(self) -> None:
        """Return at the end, or with another listener once there is one in the place of the one that is gone."""
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _LOOK_EVERY)
            if not self._ending.is_set() and not _is_there(self._state.socket):
                try:
                    self._listener = bind_control(self._state)
                except RoadsteadError as error:
                    _LOG.debug("%s", error)  # the folder is gone too, and the loop says so
                else:
                    _LOG.warning("%s was removed; it was made again", self._state.socket)
                    return


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
