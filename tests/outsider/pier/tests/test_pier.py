"""A pier keeps the backend contract."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.spi.backend import BackendContext
from roadstead.testing.conformance import BackendConformance, LiveSubject, Subject
from roadstead_pier.backend import Pier
from roadstead_pier.options import PierOptions


class PierSubject(LiveSubject):
    """A pier whose processes can be killed: what crashes there is lost."""

    def lose(self, replica: str) -> None:
        """Kill a process."""
        replicas = (one for group in self.backend.observe().groups for one in group.replicas)
        (incarnation,) = (one.incarnation for one in replicas if one.id == replica)
        os.kill(int(incarnation.rpartition(".")[2]), signal.SIGKILL)

    crash = lose


class TestPier(BackendConformance):
    """All that is asked of a backend, of real processes."""

    examples = 3
    steps = 6

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        """A pier in a directory of its own."""

        def connect(owner_id: str) -> Pier:
            return Pier(
                BackendContext(
                    cluster="pier",
                    fleet="tests",
                    owner_id=owner_id,
                    options=PierOptions(),
                    scheduling=None,
                    root=tmp_path,
                )
            )

        made = PierSubject(cluster="pier", connect=connect)
        yield made
        made.take_down()
