"""One connection to Marathon's stream of events: asked for, read as bytes come, hung up from any thread.

The official client has no part in it: its own reader hands events over late, waits for ever and does not sign in.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

import roadstead
from roadstead.units import Duration
from roadstead_backends.marathon.transport import Answer, Missed, Refused

__all__ = ["Listening", "listen"]

_PIECE = 1 << 16


class Listening:
    """The answer to one request that goes on; end it from any thread."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self._reading = threading.Lock()

    def pieces(self) -> Iterator[bytes]:
        """Yield bytes as they come; raises :class:`Missed` where they end badly, or too long none came."""
        try:
            while piece := self._piece():
                yield piece
        except (HTTPError, OSError) as error:
            raise Missed(error) from error

    def _piece(self) -> bytes:
        with self._reading:
            piece: bytes = b"" if self._response.raw.closed else self._response.raw.read1(_PIECE)
            return piece

    def close(self) -> None:
        """Hang up; whoever waits for bytes gets none."""
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # nothing left to hang up
            self._response.raw.shutdown()
        with self._reading:  # whoever waits for bytes does not any more
            self._response.close()


def listen(  # noqa: PLR0913  # a request has so many parts
    url: str,
    path: str,
    *,
    auth: AuthBase | None,
    verify: str | bool,
    certificate: tuple[str, str] | None,
    connect: Duration,
    idle: Duration,
) -> Listening:
    """Ask for a stream of events; raises :class:`Refused` or :class:`Missed` for anything but one.

    ``idle`` is how long the stream may be silent, after which it counts as dead.
    """
    with requests.Session() as session:
        session.trust_env = False
        try:
            response = session.get(
                url + path,
                headers={"Accept": "text/event-stream", "User-Agent": f"roadstead/{roadstead.__version__}"},
                auth=auth,
                verify=verify,
                cert=certificate,
                timeout=(connect.seconds, idle.seconds),
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise Missed(error) from error
    if response.status_code >= 300:
        with response:
            raise Refused(Answer(status=response.status_code, headers=response.headers, body=b""))
    return Listening(response)
