"""Envoy's admin interface, asked over its unix socket."""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path

from roadstead.errors import Unreachable
from roadstead_plugins.gateways.envoy.bootstrap import ADMIN_SOCKET

__all__ = ["Admin"]

_TIMEOUT_S = 2.0
_OK = 200


class Admin:
    """Asks one Envoy. Each question is a connection of its own: Envoy may be killed between any two."""

    def __init__(self, gateway: str, folder: Path) -> None:
        self._gateway = gateway
        self._folder = folder

    def get(self, path: str) -> bytes:
        """Return the answer to a question; raises ``Unreachable``."""
        connection = _Connection(self._folder)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError as error:
            text = f"envoy does not answer at its admin socket within {_TIMEOUT_S:g} seconds"
            raise Unreachable(text, cluster=self._gateway) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Unreachable("envoy does not listen at its admin socket", cluster=self._gateway) from error
        except (OSError, http.client.HTTPException) as error:
            text = f"envoy does not answer {path}: {str(error) or type(error).__name__}"
            raise Unreachable(text, cluster=self._gateway) from error
        finally:
            connection.close()
        if response.status != _OK:
            said = body[:200].decode(errors="replace").strip()
            raise Unreachable(f"envoy answers {path} with {response.status}: {said}", cluster=self._gateway)
        return body


class _Connection(http.client.HTTPConnection):
    """HTTP over the admin socket in a folder, however long that folder's path is."""

    def __init__(self, folder: Path) -> None:
        super().__init__("envoy", timeout=_TIMEOUT_S)
        self._folder = folder

    def connect(self) -> None:
        """Connect by way of the folder's descriptor: the path of a socket may have 107 bytes only."""
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{folder}/{ADMIN_SOCKET}")
        finally:
            os.close(folder)
