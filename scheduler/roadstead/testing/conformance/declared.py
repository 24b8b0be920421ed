"""The kit, asked of a cluster that a fleet file declares; ``roadstead backend test`` runs this module with pytest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.capabilities import Engine
from roadstead.config import read_fleet
from roadstead.model import ClusterSpec
from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin
from roadstead.testing.conformance import BackendConformance, LiveSubject, Subject

__all__ = ["TestDeclared"]

_FLEET = "tests"


class TestDeclared(BackendConformance):
    """All that is asked of a backend, of a cluster as it is declared, in a fleet of the tests' own."""

    examples = 3
    steps = 6

    @pytest.fixture
    def subject(self, pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Subject]:
        """Open the cluster that is named on the command line; what the tests made there is removed again."""
        host = PluginHost.installed()
        fleet = read_fleet(Path(pytestconfig.getoption("--roadstead-fleet")), host)
        spec = fleet.clusters[pytestconfig.getoption("--roadstead-cluster")]
        made = _subject(spec, host.get(BackendPlugin, spec.backend), tmp_path)
        if made.backend.capabilities.engine is not Engine.PROCESS:
            made.backend.close()
            pytest.exit(f"{spec.name} starts images: write a subject with a `launch` that names one", returncode=4)
        yield made
        made.take_down()


def _subject(spec: ClusterSpec, plugin: BackendPlugin, root: Path) -> LiveSubject:
    make = resolve(plugin.factory, f"backend {plugin.name!r}")

    def connect(owner_id: str) -> Backend:
        backend: Backend = make(
            BackendContext(
                cluster=spec.name,
                fleet=_FLEET,
                owner_id=owner_id,
                options=spec.options,
                scheduling=spec.scheduling,
                root=root,
            )
        )
        return backend

    return LiveSubject(cluster=spec.name, connect=connect)
