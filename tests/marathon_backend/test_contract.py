"""An emulated Marathon keeps the backend contract, in every version that it can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.testing.conformance import BackendConformance
from roadstead.testing.http_faults import FaultProxy
from roadstead_backends.marathon.emulator.testing import Emulated
from tests.marathon_backend.clusters import MarathonSubject, python3_is_ours, running, subject_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class _OnAMarathon(BackendConformance):
    """All that is asked of a backend; stories are few, for Marathon takes its time for each step of one."""

    examples = 2
    steps = 6
    profile: str
    processes = False

    @pytest.fixture(scope="class")
    @classmethod
    def marathon(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
        """One Marathon for all tests here, each of which leaves nothing on it."""
        sandboxes = tmp_path_factory.mktemp("sandboxes") if cls.processes else None
        with python3_is_ours(), running(cls.profile, processes=sandboxes) as found:
            yield found

    @pytest.fixture
    def subject(self, marathon: Emulated, tmp_path: Path) -> Iterator[MarathonSubject]:
        """A Marathon with nothing of ours on it."""
        with FaultProxy(marathon.url) as proxy:
            made = subject_of(marathon, proxy, tmp_path, processes=self.processes)
            yield made
            made.take_down()


class TestMarathon111(_OnAMarathon):
    """As the last release answers."""

    profile = "1.11"


class TestMarathon18(_OnAMarathon):
    """As the oldest release answers that it can be used with."""

    profile = "1.8"


class TestProcesses(_OnAMarathon):
    """Tasks are real processes here, in the machine's own time."""

    profile = "1.11"
    processes = True
