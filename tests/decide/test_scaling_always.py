"""What must always hold, with load that rises, falls and cannot be measured, whatever else happens."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from roadstead.units import Cpus
from roadstead.world import Usage
from tests.decide.test_always import COMMON, Fronted
from tests.decide.test_merging import Merging

_EXAMPLES = 15 if settings().derandomize else settings().max_examples
_LEVELS = st.none() | st.sampled_from([0, 150, 600, 1_400]).map(Cpus)


class Scaled(Fronted):
    """The same owner, clusters and daemon as for everything else, and replicas that have more or less to do."""

    scales = True

    @rule(level=_LEVELS)
    def work(self, level: Cpus | None) -> None:
        """All replicas that are there use so much CPU from now on, or nobody can tell how much."""
        for cluster in self.scene.clusters:
            self.scene.use.update({one.id: Usage(cpu=level) for one in self.scene.replicas(cluster)})

    @rule()
    def wait(self) -> None:
        """Let windows fill and pass."""
        self.scene.turns(6)

    @invariant()
    def is_within_its_bounds(self) -> None:
        """Whatever happened, no plan wants fewer or more than the file allows."""
        decided = self.scene.decided
        for name, known in decided.memory.scaling.items() if decided is not None else ():
            spec = known.measured.spec
            assert decided is None or decided.wanted.get(name, 0) in {0, *range(spec.min, spec.max + 1)}


class MergingScaled(Merging):
    """Plans for what may have changed only, with load that changes."""

    scales = True
    work = Scaled.work


TestScaled = pytest.mark.timeout(300)(Scaled.TestCase)
TestScaled.settings = settings(COMMON, max_examples=_EXAMPLES)
TestMergingScaled = pytest.mark.timeout(600)(pytest.mark.nightly(MergingScaled.TestCase))
TestMergingScaled.settings = settings(COMMON, max_examples=40)
