"""This machine keeps the backend contract, with real shims and servers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.model import Scheduling
from roadstead.spi.backend import BackendContext
from roadstead.spi.runtime import Launch, Program
from roadstead.testing import server
from roadstead.testing.conformance import BackendConformance, LiveSubject
from roadstead_backends.local.backend import LocalBackend
from roadstead_backends.local.connect import open_backend
from roadstead_backends.local.devices import NoDevices
from roadstead_backends.local.options import LocalOptions
from tests.local.conftest import NO_PLACE


@attrs.define(kw_only=True)
class LocalSubject(LiveSubject):
    """A local cluster whose servers can be killed."""

    def crash(self, replica: str) -> None:
        """Kill the process of a server."""
        replicas = (one for group in self.backend.observe().groups for one in group.replicas)
        (incarnation,) = (one.incarnation for one in replicas if one.id == replica)
        os.kill(int(incarnation.rpartition(".")[2]), signal.SIGKILL)


class TestLocal(BackendConformance):
    """All that is asked of a backend, of real processes; stories are few, as each step of them takes its time."""

    examples = 3
    steps = 6

    @pytest.fixture
    def subject(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalSubject]:
        """A cluster on this machine whose servers start without the interpreter's site packages, which is faster."""
        program = tmp_path / "programs" / "server"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {server.__file__} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

        def connect(owner_id: str) -> LocalBackend:
            context = BackendContext(
                cluster="here",
                fleet="tests",
                owner_id=owner_id,
                options=LocalOptions(model_roots=(Path("/models"),)),
                scheduling=Scheduling.DIRECTED,
                root=tmp_path / "cluster",
            )
            return open_backend(context, devices=NoDevices("no devices in this test"), place=NO_PLACE)

        launch = Launch(program=Program(executable="server"), args=("$(HOST)", "8501"), rest_port=8501)
        made = LocalSubject(cluster="here", connect=connect, launch=launch)
        yield made
        made.take_down()
