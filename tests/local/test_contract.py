"""This machine keeps the backend contract; its servers are processes, so what is compared must stand still first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import pytest

from roadstead.spi.backend import ABSENT, Backend, Binds
from roadstead.testing.subject import Subject, bind_all, found, group_order, small_template
from roadstead.world import Phase, Snapshot
from tests.local.conftest import LocalSubject, OpenCluster, until
from tests.simulated import test_contract as contract


@attrs.define(kw_only=True)
class ContractSubject:
    """A local cluster as the contract sees it."""

    backend: Backend
    cluster: LocalSubject
    runtime: str = "tf_serving"

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true."""
        seen = self.cluster.until(holds)
        for replica in (one for group in seen.groups for one in group.replicas if one.phase is Phase.RUNNING):
            # A process is there before it can do anything: the tests mean a server that heeds SIGTERM in its own way.
            log = self.cluster.root / "replicas" / replica.id / "server.log"
            pid = replica.incarnation.rpartition(".")[2]
            until(partial(_says, log, f"serving as {pid}\n"))
        return seen


def _says(log: Path, line: str) -> bool:
    return log.exists() and line in log.read_text()


@pytest.fixture
def cluster(open_cluster: OpenCluster) -> LocalSubject:
    """A local cluster; its servers take a moment to stop, so that stopping can be seen."""
    return open_cluster()


@pytest.fixture
def subject(cluster: LocalSubject) -> Subject:
    """The same, for the contract's tests."""
    return ContractSubject(backend=cluster.backend, cluster=cluster)


class TestApply(contract.TestApply):
    """Creating groups and converging their counts."""


class TestRetire(contract.TestRetire):
    """Who goes when replicas must go."""


class TestDelete(contract.TestDelete):
    """Removing groups."""


class TestRestart(contract.TestRestart):
    """Restarting in place."""


class TestObserve(contract.TestObserve):
    """What an observation shows."""


class TestBind(contract.TestBind):
    """Placing slots."""

    @pytest.fixture(autouse=True)
    def _impatient(self, request: pytest.FixtureRequest, cluster: LocalSubject) -> None:
        if request.node.name == "test_a_slot_stays_one_until_it_is_bound":
            cluster.patience_s = 0.5

    def test_binding_again_to_the_same_node_is_fine(self, subject: Subject) -> None:
        """A repeated bind starts nothing twice."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 1, expect=ABSENT)
        bind_all(subject.backend, order.key)
        seen = subject.until(lambda now: now.groups[0].replicas[0].phase is Phase.RUNNING)
        before = found(seen, order.key)
        assert before is not None
        assert isinstance(subject.backend, Binds)
        subject.backend.bind(before.replicas[0].id, seen.nodes[0].name, ())
        assert before == found(subject.backend.observe(), order.key)
