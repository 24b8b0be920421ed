"""Grounds for stories with faults: namespaces of one control plane, each with stand-in nodes of its own."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import urllib3

from roadstead.model import Reach, Scheduling
from tests.cluster.api import Api
from tests.cluster.cluster import Cluster
from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import Chances
from tests.cluster.standin_node import NodeShape
from tests.kubernetes.live import POOL, Ground, standing_by

__all__ = ["QUICK_CONTROLLERS", "VARIANTS", "standin_ground", "started"]

VARIANTS: Final[Mapping[str, tuple[Scheduling, Reach]]] = MappingProxyType(
    {
        "native": (Scheduling.NATIVE, Reach.DIRECT),
        "native, out of reach": (Scheduling.NATIVE, Reach.NONE),
        "directed": (Scheduling.DIRECTED, Reach.DIRECT),
    }
)
"""Who picks the nodes, and whether we can connect to replicas."""

QUICK_CONTROLLERS: Final = {
    "kube-controller-manager": ["--kube-api-qps=300", "--kube-api-burst=600"],
    "kube-scheduler": ["--kube-api-qps=300", "--kube-api-burst=600"],
}
"""Flags with which several stories side by side do not wait for each other."""

_QUICK: Final = Chances(create=(0.01, 0.02), start=(0.01, 0.02), ready=(0.01, 0.02), stop=(0.01, 0.02))
_NODES: Final = 3
_TIMEOUT: Final = urllib3.Timeout(connect=3, read=30)


@contextlib.contextmanager
def started() -> Iterator[Path]:
    """Yield the kubeconfig of a control plane that is there for the time of a block."""
    cluster = Cluster.start(flags=QUICK_CONTROLLERS)
    try:
        cluster.wait_ready()
        yield cluster.kubeconfig
    finally:
        cluster.stop()


@contextlib.contextmanager
def standin_ground(kubeconfig: Path, variant: str) -> Iterator[Ground]:
    """Yield a namespace and three stand-in nodes for it alone, with somebody else's objects beside ours."""
    access = Access.from_kubeconfig(kubeconfig)
    pool = f"p{secrets.token_hex(3)}"
    shapes = [NodeShape(name=f"{pool}-{number}", labels={POOL: pool}) for number in range(_NODES)]
    http = urllib3.PoolManager(ssl_context=access.tls, retries=False, timeout=_TIMEOUT, maxsize=8)
    scheduling, reach = VARIANTS[variant]
    with contextlib.closing(Api(access.server, http)) as api, Standin(access, shapes, chances=_QUICK, heartbeat=2):
        cluster = Cluster.existing(kubeconfig, api)
        with cluster.namespace(pool) as namespace:
            ground = Ground(
                kubeconfig=kubeconfig, api=api, namespace=namespace, pool=pool, scheduling=scheduling, reach=reach
            )
            standing_by(ground)
            yield ground
        for shape in shapes:
            api.delete(f"/api/v1/nodes/{shape.name}", missing_ok=True)
