"""A fleet's lease as an object of ``coordination.k8s.io``: read, and written with its resource version compared."""

from __future__ import annotations

import datetime as dt
from typing import Final
from urllib.parse import quote

import msgspec

from roadstead.errors import Conflict, Rejected
from roadstead.spi.backend import BackendContext
from roadstead.spi.lease import Lease
from roadstead.units import Duration
from roadstead_backends.kubernetes.connect import open_transport
from roadstead_backends.kubernetes.faults import NotFound
from roadstead_backends.kubernetes.meta import Meta, millis
from roadstead_backends.kubernetes.transport import Transport

__all__ = ["LeaseObjects", "lease_name", "open_lease"]

_TIMEOUT: Final = Duration(4_000)
_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class _Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    renew_time: dt.datetime | None = None


class _LeaseObject(msgspec.Struct, frozen=True, kw_only=True):
    metadata: Meta = Meta()
    spec: _Spec = _Spec()


_DECODER: Final = msgspec.json.Decoder(_LeaseObject)


def lease_name(fleet: str) -> str:
    """Return the name of a fleet's lease.

    >>> lease_name("Shop")
    'roadstead-shop'
    """
    return f"roadstead-{fleet.lower()}"


def open_lease(context: BackendContext, name: str) -> LeaseObjects:
    """Return the store of one lease in the namespace that our objects are in, over a connection of its own."""
    transport, namespace = open_transport(context)
    return LeaseObjects(transport, namespace, lease_name(name))


class LeaseObjects:
    """One Lease object; see :class:`roadstead.spi.lease.LeaseStore`."""

    def __init__(self, transport: Transport, namespace: str, name: str) -> None:
        self._transport = transport
        self._namespace = namespace
        self._name = name
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases"

    def read(self) -> Lease | None:
        """Return what is stored now, asked of etcd and not of a cache."""
        try:
            answer = self._transport.call("GET", self._path, timeout=_TIMEOUT, subject=self._subject)
        except NotFound:
            return None
        return self._decoded(answer.body)

    def write(self, lease: Lease) -> Lease:
        """Store ``lease`` where nobody else has written since its version."""
        body = msgspec.json.encode(self._document(lease))
        method, path = ("PUT", self._path) if lease.version else ("POST", self._collection)
        try:
            answer = self._transport.call(method, path, body=body, timeout=_TIMEOUT, subject=self._subject)
        except NotFound as error:
            if not lease.version:
                raise  # there is no such namespace
            raise Conflict(
                "it was deleted meanwhile", cluster=self._transport.cluster, subject=self._subject
            ) from error
        return self._decoded(answer.body)

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()

    @property
    def _path(self) -> str:
        return f"{self._collection}/{quote(self._name)}"

    @property
    def _subject(self) -> str:
        return f"leases/{self._name}"

    def _document(self, lease: Lease) -> object:
        renewed = dt.datetime.fromtimestamp(lease.renewed / 1000, dt.UTC).strftime(_MICROSECONDS)
        # With its uid: an update of a lease that somebody deleted would make it anew.
        uid, _, resource_version = lease.version.partition("/")
        version = {"uid": uid, "resourceVersion": resource_version} if lease.version else {}
        labels = {"app.kubernetes.io/managed-by": "roadstead"}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": labels, **version},
            "spec": {
                "holderIdentity": lease.holder,
                "leaseDurationSeconds": max(1, round(lease.duration.seconds)),
                "leaseTransitions": lease.transitions,
                "renewTime": renewed,
            },
        }

    def _decoded(self, body: bytes) -> Lease:
        try:
            found = _DECODER.decode(body)
        except msgspec.DecodeError as error:
            text = f"the API server answers what is no lease: {error}"
            raise Rejected(text, cluster=self._transport.cluster, subject=self._subject) from error
        spec = found.spec
        return Lease(
            holder=spec.holder_identity or "",
            transitions=spec.lease_transitions or 0,
            duration=Duration((spec.lease_duration_seconds or 0) * 1000),
            renewed=millis(spec.renew_time) if spec.renew_time is not None else 0,
            version=f"{found.metadata.uid}/{found.metadata.resource_version}",
        )
