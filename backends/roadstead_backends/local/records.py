"""What a local cluster keeps on disk about itself: frozen values, as JSON through the core's wire format.

Layout, below the cluster's root::

    lock                                 held while a daemon uses this root
    cluster.json                         ClusterRecord
    groups/FLEET-NAME-REV/group.json     GroupRecord
    replicas/ID/replica.json             ReplicaRecord
    replicas/ID/{spec,state,stop,restart}.json, server.log...   the shim's, see its package
    wake                                 a named pipe: shims tell here that something changed
"""

from __future__ import annotations

import attrs

from roadstead.model import Reloading
from roadstead.shim.cgroup_place import CgroupPlace
from roadstead.spi.runtime import Launch
from roadstead.units import Duration
from roadstead.world import GroupKey

__all__ = ["ClusterRecord", "GroupRecord", "ReplicaRecord"]


@attrs.frozen(kw_only=True)
class ClusterRecord:
    """The cluster's own identity, which names its control groups, and the place where those are."""

    format: int = 1
    id: str
    place: CgroupPlace | None = None


@attrs.frozen(kw_only=True)
class GroupRecord:
    """A group as it was created, and how many replicas it was last asked for.

    ``template`` is the canonical text, ``launch`` the runtime's rendering of it; neither ever changes, but for the
    model's version where the group is ``reloading``. ``serial``
    rises with every change, ``birth`` tells it from an earlier group of the same key. A ``condemned`` group goes when
    its last replica has gone.
    """

    key: GroupKey
    fleet: str
    owner: str
    owner_id: str
    generation: int
    target: int
    template: str
    launch: Launch
    reloading: Reloading | None = None
    birth: str
    serial: int = 1
    condemned: bool = False
    grace: Duration = Duration(0)


@attrs.frozen(kw_only=True)
class ReplicaRecord:
    """A replica, or a slot when ``node`` is ``None``.

    ``host`` is its own loopback address, ``cpus`` the processors it is held to where there is no quota.
    """

    id: str
    group: GroupKey
    node: str | None = None
    devices: tuple[str, ...] = ()
    host: str = ""
    cpus: tuple[int, ...] = ()
