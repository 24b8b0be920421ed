"""One ReplicaSet of ours with its pods, and what a snapshot shows of both. Pure."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache

import attrs

from roadstead.model import Template
from roadstead.template import from_canonical
from roadstead.world import Drift, Group, Replica
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.objects import Pod, ReplicaSet
from roadstead_backends.kubernetes.why import group_reason

__all__ = ["Shard", "group_of", "is_as_written", "template_of", "token_of"]

_LOG = logging.getLogger(__name__)


@attrs.define(kw_only=True)
class Shard:
    """One ReplicaSet of ours with its pods, what was read from them, and the group that was shown last."""

    stored: ReplicaSet | None = None
    pods: dict[str, Pod] = attrs.field(factory=dict)
    replicas: dict[str, Replica] = attrs.field(factory=dict)
    drift: tuple[Drift, ...] = ()
    judged: int | None = None
    drifted: frozenset[str] = frozenset()
    shown: Group | None = None


def token_of(stored: ReplicaSet, pods: Mapping[str, Pod]) -> str:
    """Return the version of a group: which object it is, what is stored of it, and which pods it has.

    What the cluster reports about it is not in there, nor where its pods are: these change all the time by themselves.
    """
    meta = stored.metadata
    around = "\n".join(meta.annotations.get(name, "") for name in (names.OWNER, names.GENERATION, names.TEMPLATE))
    members = " ".join(sorted(pod.metadata.uid for pod in pods.values()))
    return f"{meta.uid[:8]}.{meta.generation}.{zlib.crc32(around.encode()):08x}.{zlib.crc32(members.encode()):08x}"


def group_of(shard: Shard, owner_id: str, scaled_by: Callable[[str], str]) -> Group | None:
    """Return a group as a snapshot shows it: the object that was shown before, where it is the same."""
    stored = shard.stored
    if stored is None:
        return None
    meta = stored.metadata
    key, template = names.key_of(meta.labels), template_of(stored)
    if key is None or template is None:
        _LOG.warning("ReplicaSet %s has our labels and no template that can be read; it is left alone", meta.name)
        return None
    made = Group(
        key=key,
        owner=meta.annotations.get(names.OWNER, ""),
        owner_id=owner_id,
        generation=_number(meta.annotations.get(names.GENERATION, "")),
        target=stored.spec.replicas if meta.deletion is None else 0,
        template=template,
        version=token_of(stored, shard.pods),
        replicas=tuple(shard.replicas[pod.metadata.name] for pod in sorted(shard.pods.values(), key=_age)),
        reason=group_reason(stored) if meta.deletion is None else None,
        drift=shard.drift if meta.deletion is None else (),
        scaled_by=scaled_by(meta.name),
        serves_on=names.SERVES_ON in meta.annotations,
    )
    return shard.shown if shard.shown == made else made


def is_as_written(stored: ReplicaSet) -> bool:
    """Return whether nobody has changed what an object is to be since our own last write."""
    return str(stored.metadata.generation) == stored.metadata.annotations.get(names.WRITTEN, "")


def template_of(stored: ReplicaSet) -> Template | None:
    """Return what a group was made from, as it carries it; ``None`` where that cannot be read."""
    return _template(stored.metadata.annotations.get(names.TEMPLATE, ""))


def _age(pod: Pod) -> tuple[float, str]:
    created = pod.metadata.creation
    return created.timestamp() if created is not None else 0.0, pod.metadata.name


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


@lru_cache(maxsize=65536)
def _template(text: str) -> Template | None:
    try:
        template: Template = from_canonical(text)
    except ValueError:
        return None
    return template
