"""A fleet's lease on a real API server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from roadstead.act.leading import LeaseLead
from roadstead.act.lease import LeaseTimes
from roadstead.errors import Conflict, StateError, Unreachable
from roadstead.spi.backend import BackendContext
from roadstead.spi.lease import Lease, LeaseStore
from roadstead.units import Duration
from roadstead_backends.kubernetes.leases import open_lease
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

QUICK = LeaseTimes(duration=Duration(9_000), renew_within=Duration(6_000), every=Duration(200))
FIRST = Lease(holder="a", transitions=0, duration=Duration(15_000), renewed=1_700_000_000_123)


@pytest.fixture
def stores(control_plane: Cluster, namespace: str, tmp_path: Path) -> Iterator[Stores]:
    """Opens the lease of one fleet as often as asked."""
    made = Stores(control_plane, namespace, tmp_path)
    yield made
    for store in made.opened:
        store.close()


class Stores:
    """One lease, for several who want it, each over a connection of its own."""

    def __init__(self, cluster: Cluster, namespace: str, root: Path) -> None:
        options = KubernetesOptions(kubeconfig=cluster.kubeconfig, namespace=namespace)
        self._context = BackendContext(
            cluster="prod", fleet="Shop", owner_id="id", options=options, scheduling=None, root=root
        )
        self.path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/roadstead-shop"
        self.api = cluster.api
        self.opened: list[LeaseStore] = []

    def another(self) -> LeaseStore:
        """Return one more store of the same lease."""
        store = open_lease(self._context, "Shop")
        self.opened.append(store)
        return store

    def lead(self) -> LeaseLead:
        """Return one more candidate."""
        return LeaseLead(open_lease(self._context, "Shop"), "the lease", times=QUICK)


def test_what_is_written_is_read_and_is_an_ordinary_lease(stores: Stores) -> None:
    """It comes back as it was, to the millisecond, and stands there as anybody's tools expect it."""
    store = stores.another()
    assert store.read() is None
    written = store.write(FIRST)
    assert written == store.read()
    assert FIRST == attrs.evolve(written, version="")
    spec = stores.api.get(stores.path)["spec"]
    assert ("a", 15, 0) == (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"])
    assert "2023-11-14T22:13:20.123000Z" == spec["renewTime"]


def test_of_many_who_write_at_once_one_succeeds(stores: Stores) -> None:
    """Whether they create it or change it: the API server compares, and everybody else is told of a conflict."""
    writers = [stores.another() for _ in range(6)]
    for version in ("", None):
        stored = writers[0].read()
        line = threading.Barrier(len(writers))

        def write(number: int, stored: Lease | None = stored, line: threading.Barrier = line) -> int:
            line.wait(60)
            lease = FIRST if stored is None else stored
            # Something new from everybody: to write what stands there already changes nothing, and always succeeds.
            wanted = attrs.evolve(lease, holder=f"w{number}", transitions=lease.transitions + 1)
            try:
                writers[number].write(wanted)
            except Conflict:
                return 0
            return 1

        assert (version == "") == (stored is None)
        with ThreadPoolExecutor(len(writers)) as pool:
            assert 1 == sum(pool.map(write, range(len(writers))))


def test_a_write_to_a_deleted_lease_is_a_conflict(stores: Stores) -> None:
    """Somebody removed it meanwhile: what was read does not hold any more."""
    store = stores.another()
    written = store.write(FIRST)
    stores.api.delete(stores.path)
    with pytest.raises(Conflict):
        store.write(written)


def test_two_daemons_are_one_that_acts_and_one_that_is_told(stores: Stores) -> None:
    """The second sees the first one live and is refused; when the first ends in peace, it has the lease at once."""
    first = stores.lead()
    second = stores.lead()
    first.take()
    first.must_hold()
    with pytest.raises(StateError, match="holds it"):
        second.take()
    first.release()
    second.take()
    second.must_hold()
    assert not first.holds()
    assert second.holds()
    second.release()
    assert "" == stores.api.get(stores.path)["spec"].get("holderIdentity", "")


def test_a_holder_without_an_api_server_stops_before_another_could_act() -> None:
    """The API server stands still: nobody can renew, the holder stops by itself, and goes on when it answers again."""
    cluster = Cluster.start()
    try:
        with cluster.namespace() as namespace:
            lead = Stores(cluster, namespace, Path("/nonexistent")).lead()
            lead.take()
            lead.must_hold()
            cluster.part("kube-apiserver").freeze()
            until(lambda: not lead.holds(), within=QUICK.duration.seconds)
            cluster.part("kube-apiserver").thaw()
            cluster.plane.wait_ready()
            until(lambda: _holds(lead))
            lead.release()
    finally:
        cluster.stop()


def _holds(lead: LeaseLead) -> bool:
    try:
        lead.must_hold()
    except StateError:
        return False
    return lead.holds()


def test_a_server_that_is_not_there_is_no_lease(stores: Stores, tmp_path: Path) -> None:
    """Who cannot ask does not act, and the error says what is not answering."""
    store = stores.another()
    store.close()
    with pytest.raises(Unreachable):
        store.read()
