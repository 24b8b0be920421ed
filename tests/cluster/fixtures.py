"""Fixtures with real clusters in them, for every folder of tests (``tests/conftest.py`` loads this).

``control_plane``   one for the session, without nodes: for what needs an API server, and for stand-in nodes
``cluster``         one for the session, with one real node
``two_nodes``       the same, with a second real node for the time of the module; both work when a test begins
``namespace``       a namespace of the test's own, on the cluster that the test asks for

A test that uses one of them is marked ``kubernetes``. Where no cluster can be started all of those are skipped, and
the last lines of the run say how many, and why. ``--existing-cluster`` takes the one that KUBECONFIG names instead of
starting any; what would break it is skipped then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.cluster import prerequisites

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

__all__ = ["cluster", "control_plane", "namespace", "two_nodes"]

MARK: Final = "kubernetes"
_SKIPPED: Final = pytest.StashKey[tuple[int, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that uses a cluster which is there already."""
    parser.getgroup("roadstead").addoption(
        "--existing-cluster",
        action="store_true",
        help="run the tests marked kubernetes on the cluster that KUBECONFIG names, in namespaces of their own",
    )


@pytest.hookimpl(trylast=True)  # after `-m` has chosen
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a cluster where none can be started."""
    wanting = [item for item in items if item.get_closest_marker(MARK)]
    if not wanting or config.getoption("--existing-cluster"):
        return
    lacking = prerequisites.lacking()
    if lacking is None:
        return
    for item in wanting:
        item.add_marker(pytest.mark.skip(reason=f"no Kubernetes here: {lacking}"))
    config.stash[_SKIPPED] = (len(wanting), lacking)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested."""
    skipped = terminalreporter.config.stash.get(_SKIPPED, None)
    if skipped is not None:
        count, lacking = skipped
        terminalreporter.write_line(f"KUBERNETES NOT TESTED: {count} tests skipped: {lacking}", red=True, bold=True)


@pytest.fixture(scope="session")
def existing_cluster(pytestconfig: pytest.Config) -> Iterator[Cluster | None]:
    """Yield the cluster that KUBECONFIG names, where the flag asks for it."""
    if not pytestconfig.getoption("--existing-cluster"):
        yield None
        return
    named = os.environ.get("KUBECONFIG")
    if not named:
        pytest.fail("--existing-cluster is given, and KUBECONFIG names no file; export it")
    # Deferred, here and below: every run of pytest loads this module, and few need TLS and HTTP (0.3 s).
    from tests.cluster.cluster import Cluster, kubectl_proxy  # noqa: PLC0415

    with kubectl_proxy(Path(named)) as api:
        yield Cluster.existing(Path(named), api)


@pytest.fixture(scope="session")
def control_plane(existing_cluster: Cluster | None) -> Iterator[Cluster]:
    """A control plane without nodes."""
    with _started(existing_cluster, nodes=0) as started:
        yield started


@pytest.fixture(scope="session")
def cluster(existing_cluster: Cluster | None) -> Iterator[Cluster]:
    """A cluster with one real node, called node-1."""
    with _started(existing_cluster, nodes=1) as started:
        yield started


@contextmanager
def _started(existing: Cluster | None, *, nodes: int) -> Iterator[Cluster]:
    """Start a cluster for the time of a block, unless there is one already."""
    if existing is not None:
        yield existing
        return
    started = _begun(nodes)
    try:
        yield started
    finally:
        started.stop()


def _begun(nodes: int, *, tries: int = 2) -> Cluster:
    """Start a cluster, and once more where it does not come up: pytest would keep the first failure for all tests."""
    from tests.cluster.api import ApiError  # noqa: PLC0415  # deferred, as above
    from tests.cluster.cluster import Cluster  # noqa: PLC0415
    from tests.cluster.machine import MachineError  # noqa: PLC0415
    from tests.cluster.waiting import TooLate  # noqa: PLC0415

    started = Cluster.start()
    try:
        for _ in range(nodes):
            started.add_node()
        started.wait_ready()
    except (ApiError, MachineError, TooLate):
        started.stop()
        if tries > 1:
            return _begun(nodes, tries=tries - 1)
        raise
    return started


@pytest.fixture(scope="module")
def second_node(cluster: Cluster) -> Iterator[str]:
    """The name of a second real node, there for the time of a module."""
    node = cluster.add_node("node-2") if cluster.is_ours else pytest.skip("nodes are killed here: only on our own")
    try:
        yield node.name
    finally:
        cluster.remove_node(node.name)


@pytest.fixture
def two_nodes(cluster: Cluster, second_node: str) -> Cluster:
    """A cluster with two real nodes, node-1 and node-2, whatever the test before did to them."""
    cluster.heal()
    return cluster


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new namespace of the cluster that the test uses; without any, of ``control_plane``."""
    used = [name for name in ("two_nodes", "cluster", "control_plane") if name in request.fixturenames]
    found: Cluster = request.getfixturevalue(used[0] if used else "control_plane")
    with found.namespace() as name:
        yield name
