"""What a replica prints, read through the API server, over restarts of its server and interruptions of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from roadstead.errors import Rejected, Unreachable
from roadstead.units import Duration
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.transport import PLAIN, Transport

__all__ = ["Log"]

_PAUSE: Final = Duration(1_000)
_NOT_YET: Final = ("is waiting to start", "is not available", "not found in pod")
"""What the kubelet says, with 400, of a container that has printed nothing yet."""


class Log:
    """The output of one container; ``read`` it once.

    Lines are asked for with the time that the kubelet gave them, to the nanosecond, which is left out of what is
    yielded: after an interruption, only what is later than the last one is new.
    """

    def __init__(self, transport: Transport, path: str, container: str, *, pause: Duration = _PAUSE) -> None:
        self._transport = transport
        self._path = path
        self._container = container
        self._pause = pause
        self._last = b""

    @classmethod
    def of_pod(cls, transport: Transport, namespace: str, pod: str, container: str) -> Log:
        """Return the output of a container of a pod."""
        return cls(transport, f"/api/v1/namespaces/{namespace}/pods/{quote(pod, safe='')}/log", container)

    def read(self, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield whole lines, the oldest first; with ``follow``, until there is no such pod.

        ``tail`` limits those from before now. Raises :class:`Rejected` where there is no such pod at the beginning.
        """
        yield from self._once(tail, follow=follow, first=True)
        while follow:
            time.sleep(self._pause.seconds)  # a server that ended is not started again at once
            try:
                yield from self._once(None, follow=True, first=False)
            except NotFound:
                return

    def _once(self, tail: int | None, *, follow: bool, first: bool) -> Iterator[bytes]:
        """Yield what comes until the server ends it; a server that cannot be reached is no end where we follow."""
        query = {"container": self._container, "timestamps": "true"}
        known = self._last
        if follow:
            query["follow"] = "true"
        if tail is not None:
            query["tailLines"] = str(tail)
        if known:
            query["sinceTime"] = known.decode()
        try:
            with self._transport.stream(self._path, query=query, idle=None, accept=PLAIN, subject=self._path) as lines:
                for line in lines:
                    at, _, said = line.partition(b" ")
                    if at > known:
                        self._last = at
                        yield said + b"\n"
        except Unreachable:
            if not follow or (first and not self._last):
                raise
        except Rejected as error:
            if isinstance(error, NotFound) or not any(text in str(error) for text in _NOT_YET):
                raise
