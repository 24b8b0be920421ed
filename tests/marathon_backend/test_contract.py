"""An emulated Marathon keeps the backend contract, in every version that it can be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.testing.conformance import BackendConformance
from roadstead.testing.http_faults import FaultProxy
from roadstead_backends.marathon.emulator.testing import Emulated
from tests.marathon_backend.clusters import MarathonSubject, running, subject_of


class _OnAMarathon(BackendConformance):
    """All that is asked of a backend, of tasks that pretend to run."""

    examples = 2
    steps = 6
    profile: str

    @pytest.fixture(scope="class")
    @classmethod
    def marathon(cls) -> Iterator[Emulated]:
        """One Marathon for all tests here, each of which leaves nothing on it."""
        with running(cls.profile) as found:
            yield found

    @pytest.fixture
    def subject(self, marathon: Emulated, tmp_path: Path) -> Iterator[MarathonSubject]:
        """A Marathon with nothing of ours on it."""
        with FaultProxy(marathon.url) as proxy:
            made = subject_of(marathon, proxy, tmp_path)
            yield made
            made.take_down()


class TestMarathon111(_OnAMarathon):
    """As the last release answers."""

    profile = "1.11"


class TestMarathon18(_OnAMarathon):
    """As the oldest release answers that it can be used with."""

    profile = "1.8"
