"""Simulated clusters of every temper keep the backend contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from roadstead.testing.conformance import BackendConformance, Subject
from tests.kit.clusters import TEMPERS, simulated


class TestSimulated(BackendConformance):
    """All that is asked of a backend, in virtual time; by night in many more stories, with the shortest that fails."""

    examples = settings().max_examples // 5
    shrinks = True

    @pytest.fixture(params=TEMPERS)
    def subject(self, request: pytest.FixtureRequest) -> Iterator[Subject]:
        """Each kind of simulated cluster."""
        made = simulated(TEMPERS[request.param])
        yield made
        made.backend.close()
