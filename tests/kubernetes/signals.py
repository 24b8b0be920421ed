"""What is done to the processes of a real cluster while stories are told on it, and where that is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from roadstead.testing.live_faults.stories import Story
from roadstead.testing.live_faults.strikes import LastingStrike
from roadstead.testing.live_faults.subject import LiveCluster
from roadstead.testing.live_faults.trials import Strikes
from roadstead.units import Duration
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import API_SERVER, ETCD
from tests.cluster.node import KUBELET
from tests.kubernetes.live import POOL, Ground

__all__ = ["NODE", "SIGNALS", "Signal", "real_ground", "signalled"]

NODE: Final = "node-2"
"""The node whose processes are struck."""

_POOL: Final = "real"
_GIVEN_UP_AFTER: Final = Duration(10_000)
"""How long a node that is not ready keeps its replicas; it is not ready when it was silent for eight seconds."""


@attrs.frozen(kw_only=True)
class Signal:
    """What is done to a process: ``begins`` does it, and returns what undoes it after ``lasts``.

    With ``gives_up`` the node is away for so long that others take the place of its replicas. Those that are
    ``is_long`` are told by night.
    """

    name: str
    begins: Callable[[Cluster], Callable[[], None]]
    lasts: Duration
    gives_up: bool = False
    is_long: bool = False

    def eased(self, story: Story) -> Story:
        """Return the story with what may be while a node is given up: nobody may serve, and all are there twice."""
        if not self.gives_up:
            return story
        return attrs.evolve(story, acts=tuple(attrs.evolve(act, floor=0, most=2 * act.most) for act in story.acts))


def _stop_etcd(cluster: Cluster) -> Callable[[], None]:
    cluster.part(ETCD).freeze()
    return cluster.part(ETCD).thaw


def _kill(part: str) -> Callable[[Cluster], Callable[[], None]]:
    def begin(cluster: Cluster) -> Callable[[], None]:
        cluster.part(part).kill()

        def back() -> None:
            cluster.part(part).start()
            cluster.plane.wait_ready()

        return back

    return begin


def _kill_kubelet(cluster: Cluster) -> Callable[[], None]:
    node = cluster.node(NODE)
    node.parts[KUBELET].kill()

    def back() -> None:
        node.parts[KUBELET].start()
        node.wait_ready()

    return back


def _silence(cluster: Cluster) -> Callable[[], None]:
    node = cluster.node(NODE)
    node.fall_silent()

    def back() -> None:
        node.speak_again()
        node.wait_ready()

    return back


SIGNALS: Final = (
    Signal(name="etcd stopped for 8 s", begins=_stop_etcd, lasts=Duration(8_000)),
    Signal(name="kube-apiserver killed, back after 3 s", begins=_kill(API_SERVER), lasts=Duration(3_000)),
    Signal(
        name="kube-controller-manager killed, back after 5 s",
        begins=_kill("kube-controller-manager"),
        lasts=Duration(5_000),
        is_long=True,
    ),
    Signal(
        name="kube-scheduler killed, back after 5 s",
        begins=_kill("kube-scheduler"),
        lasts=Duration(5_000),
        is_long=True,
    ),
    Signal(name="kubelet killed, back after 5 s", begins=_kill_kubelet, lasts=Duration(5_000)),
    Signal(name="node silent for 12 s", begins=_silence, lasts=Duration(12_000)),
    Signal(
        name="node silent for 35 s, given up and back",
        begins=_silence,
        lasts=Duration(35_000),
        gives_up=True,
        is_long=True,
    ),
)


@contextlib.contextmanager
def real_ground(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Ground]:
    """Yield a ground on the real nodes of a cluster, which get its label; models are folders in ``folder``."""
    for node in cluster.nodes:
        cluster.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {POOL: _POOL}}})
    sources = folder / "1", folder / "2"
    for source in sources:
        source.mkdir(exist_ok=True)
    first, second = map(str, sources)
    yield Ground(
        kubeconfig=cluster.kubeconfig,
        api=cluster.api,
        namespace=namespace,
        pool=_POOL,
        sources=(first, second),
        node_lost_after=_GIVEN_UP_AFTER,
        is_real=True,
    )


def signalled(signal: Signal, cluster: Cluster, writes: int) -> Strikes:
    """Return what does that to the processes of ``cluster`` once so many writes of a story were answered."""

    def strike(live: LiveCluster) -> LastingStrike:
        return LastingStrike(writes, lambda: signal.begins(cluster), signal.lasts, live.proxy, live.dialect)

    return strike
