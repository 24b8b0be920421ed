"""Asks for a Marathon's stream of events, whichever of its instances leads: the others send listeners to it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from roadstead.units import Duration
from roadstead_backends.marathon.client import elsewhere, sign_in
from roadstead_backends.marathon.listening import Listening, listen
from roadstead_backends.marathon.options import MarathonOptions, is_private
from roadstead_backends.marathon.transport import Missed, Refused

__all__ = ["Subscriber"]

_PATH: Final = "/v2/events"
_CONNECT: Final = Duration(3_000)
_IDLE: Final = Duration(25_000)
"""After so long without a heartbeat the connection counts as dead."""

_MOST_HOPS: Final = 3


class Subscriber:
    """Connects to the stream of the leader; call it once for each connection."""

    def __init__(self, options: MarathonOptions, *, idle: Duration = _IDLE) -> None:
        self._options = options
        self._idle = idle

    def __call__(self) -> Listening:
        """Return a new connection; raises what asking the last instance raised, where none answers."""
        last: Exception | None = None
        for url in self._options.urls:
            try:
                return self._led(url)
            except (Missed, Refused) as error:
                last = error
        assert last is not None, "there is at least one address"
        raise last

    def _led(self, url: str) -> Listening:
        for _ in range(_MOST_HOPS):
            try:
                return self._ask(url)
            except Refused as refused:
                target = elsewhere(refused.answer, reads=True, from_=url)
                if target is None or (self._options.signs_in and not is_private(target)):
                    raise
                url = target
        raise Missed(
            ConnectionError(f"instances of Marathon send listeners around in circles, to {urlsplit(url).netloc}")
        )

    def _ask(self, url: str) -> Listening:
        options = self._options
        both = options.client_certificate, options.client_key
        return listen(
            url,
            _PATH,
            auth=sign_in(options),
            verify=str(options.ca) if options.ca is not None else True,
            certificate=(str(both[0]), str(both[1])) if options.client_certificate is not None else None,
            connect=_CONNECT,
            idle=self._idle,
        )
