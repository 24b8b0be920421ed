"""Finding out what somebody else has changed of our groups, and putting it back.

Whether there is anything to find out is known without a question: each of our writes notes the generation that the
object has afterwards. Where it has another one, the whole object is read, once.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from roadstead.errors import Conflict, Forbidden
from roadstead.world import Drift
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.drift import Difference, changed_by, changed_since, differences, said, value_at
from roadstead_backends.kubernetes.objects import Pod, ReplicaSet
from roadstead_backends.kubernetes.view import Suspect, View
from roadstead_backends.kubernetes.writing import Writer

__all__ = ["Judge", "Past", "drift_of"]

Json = dict[str, Any]

_AT_ONCE: Final = 20
"""Objects that are read at one look, at most; the others wait for the next one."""

_ROOT: Final = "spec.template"
_MOST_FIELDS: Final = 50


@attrs.frozen(kw_only=True)
class Past:
    """What others had written into a group before it was put back: the fields with their values, and since when."""

    since: dt.datetime
    fields: Mapping[str, Any]

    def shows_in(self, pod: Json) -> bool:
        """Return whether a pod was made from that."""
        paths = ((path.removeprefix(f"{_ROOT}."), theirs) for path, theirs in self.fields.items())
        return any(value_at(pod, path) == theirs for path, theirs in paths)


class Judge:
    """Reads whole objects where the part that we keep of them does not say enough."""

    def __init__(self, writer: Writer, view: View, cluster: str) -> None:
        self._writer = writer
        self._view = view
        self._cluster = cluster
        self._compared: dict[str, bool] = {}

    def look(self) -> None:
        """Judge the groups that somebody else has written to, and the pods of those that were put back."""
        left = _AT_ONCE
        for suspect in self._view.suspects():
            if not left:
                return
            left -= 1
            self._judge(suspect)
        for name in self._view.put_back_once():
            left = self._compare_pods(name, left)

    def put_back(self, stored: ReplicaSet, subject: str) -> ReplicaSet:
        """Write a group's own template back into exactly this state of it; raises ``Conflict`` for another.

        What it was instead is noted, for the pods that were made of that.
        """
        name, meta = stored.metadata.name, stored.metadata
        whole = self._writer.read_whole("replicasets", name, subject)
        if whole is None or whole["metadata"]["resourceVersion"] != meta.resource_version:
            raise Conflict("it is not as it was observed", cluster=self._cluster, subject=subject, hint="observe again")
        found = _template_differences(whole)
        if not found:
            return stored
        operations = [
            {"op": "replace", "path": "/spec/template", "value": _rendering(whole)},
            _annotate(names.WRITTEN, str(meta.generation + 1)),
            _annotate(names.REVERTED, _note(whole, found, self._writer.managers)),
        ]
        written = self._writer.patch_group(meta.resource_version, name, operations, subject)
        for pod in self._view.pods_of(name).values():
            self._compared.pop(pod.metadata.uid, None)
        return written

    def _judge(self, suspect: Suspect) -> None:
        try:
            whole = self._writer.read_whole("replicasets", suspect.name, suspect.name)
        except Forbidden:
            # Whoever may not read it does not learn what was changed, and need not ask again.
            stored = self._view.stored(suspect.name)
            if stored is not None:
                self._view.judge(suspect.uid, stored.metadata.generation, ())
            return
        if whole is not None and whole["metadata"]["uid"] == suspect.uid:
            self._view.judge(suspect.uid, whole["metadata"]["generation"], drift_of(whole, self._writer.managers))

    def _compare_pods(self, name: str, left: int) -> int:
        """Find the pods of a group that were made from what others wrote; return how many more may be read."""
        stored = self._view.stored(name)
        past = _past(stored.metadata.annotations.get(names.REVERTED, "")) if stored is not None else None
        if past is None:
            return left
        pods = self._view.pods_of(name)
        for pod in pods.values():
            if pod.metadata.uid not in self._compared and left:
                left -= self._compare(pod, past)
        drifted = (one.metadata.name for one in pods.values() if self._compared.get(one.metadata.uid))
        self._view.mark_drifted(name, frozenset(drifted))
        return left

    def _compare(self, pod: Pod, past: Past) -> int:
        """Compare one pod with what others wrote; return how many objects were read for that."""
        created = pod.metadata.creation
        if created is not None and created < past.since:
            self._compared[pod.metadata.uid] = False
            return 0
        try:
            whole = self._writer.read_whole("pods", pod.metadata.name, pod.metadata.name)
        except Forbidden:
            self._compared[pod.metadata.uid] = False
            return 1
        if whole is not None and whole["metadata"]["uid"] == pod.metadata.uid:
            self._compared[pod.metadata.uid] = past.shows_in(whole)
        return 1


def drift_of(whole: Json, ours: frozenset[str]) -> tuple[Drift, ...]:
    """Return what of a ReplicaSet is not as the rendering says that it carries; ``ours`` are the names we write by."""
    manager = changed_by(whole["metadata"].get("managedFields", ()), ours)
    return tuple(
        Drift(field=one.path, ours=said(one.ours), theirs=said(one.theirs), manager=manager)
        for one in _template_differences(whole)
    )


def _template_differences(whole: Json) -> tuple[Difference, ...]:
    rendering = _rendering(whole)
    return tuple(differences(rendering, whole["spec"]["template"], _ROOT)) if rendering is not None else ()


def _rendering(whole: Json) -> Json | None:
    """Return what a group was made with; ``None`` where that cannot be read any more."""
    try:
        found: Json = json.loads(whole["metadata"].get("annotations", {}).get(names.RENDERING, ""))
    except ValueError:
        return None
    return found


def _annotate(name: str, value: str) -> Json:
    return {"op": "add", "path": f"/metadata/annotations/{name.replace('~', '~0').replace('/', '~1')}", "value": value}


def _note(whole: Json, found: tuple[Difference, ...], ours: frozenset[str]) -> str:
    """Return what is noted of a foreign template: what was noted before is kept beside it."""
    since = changed_since(whole["metadata"].get("managedFields", ()), ours) or whole["metadata"]["creationTimestamp"]
    before = _past(whole["metadata"].get("annotations", {}).get(names.REVERTED, ""))
    fields = {**(before.fields if before is not None else {}), **{one.path: one.theirs for one in found}}
    earliest = min(since, before.since.isoformat().replace("+00:00", "Z")) if before is not None else since
    kept = dict(list(fields.items())[-_MOST_FIELDS:])
    return json.dumps({"since": earliest, "fields": kept}, sort_keys=True)


def _past(text: str) -> Past | None:
    try:
        noted = json.loads(text)
        return Past(since=dt.datetime.fromisoformat(noted["since"]), fields=dict(noted["fields"]))
    except (ValueError, KeyError, TypeError):
        return None
