"""Objects of an API server as they change, as somebody sees them who asks it alone and not through any proxy."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable

import urllib3

from tests.cluster.api import Api, ApiError, Json

__all__ = ["Following", "unasked"]


class Following:
    """All objects at ``path`` with labels, whatever becomes of the API server; ``changed`` is called at each change."""

    def __init__(self, api: Api, path: str, labels: str, changed: Callable[[], None]) -> None:
        self._api = api
        self._path = path
        self._labels = labels
        self._changed = changed
        self._seen: dict[str, Json] = {}
        self._closing = threading.Event()
        self._watch: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._follow, name=f"following {path}", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._closing.set()
        if self._watch is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._watch.shutdown()
        self._thread.join()

    @property
    def seen(self) -> tuple[Json, ...]:
        """The objects as they were last seen."""
        return tuple(self._seen.values())

    def _follow(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(urllib3.exceptions.HTTPError, OSError, ApiError, ValueError):
                self._follow_once()
            self._closing.wait(0.1)

    def _follow_once(self) -> None:
        listed = self._api.get(self._path, labelSelector=self._labels)
        self._seen = {one["metadata"]["uid"]: one for one in listed["items"]}
        self._changed()
        version = listed["metadata"]["resourceVersion"]
        with self._api.stream(self._path, labelSelector=self._labels, watch=1, resourceVersion=version) as self._watch:
            if self._closing.is_set():
                return
            rest = b""
            while piece := self._watch.read1(1 << 16):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    uid = event["object"].get("metadata", {}).get("uid")
                    if uid is None:
                        return
                    self._seen.pop(uid, None)
                    if event["type"] != "DELETED":
                        self._seen[uid] = event["object"]
                    self._changed()


def unasked(pods: Iterable[Json], groups: Iterable[Json]) -> int:
    """Return how many pods there are beyond what their ReplicaSets ask for.

    Nobody but Kubernetes' own controller makes them: one whose reply got lost is made again, as it has no name of its
    own before it is made, and one of the two goes once both are seen.
    """
    there = Counter(owner["uid"] for pod in pods for owner in pod["metadata"].get("ownerReferences", ()))
    return sum(max(0, there[one["metadata"]["uid"]] - one["spec"]["replicas"]) for one in groups)
