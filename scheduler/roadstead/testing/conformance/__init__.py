"""The conformance kit: what every backend has to do, as tests that the author of one runs.

A test class of the author's inherits all of them, and says with one fixture which cluster they are asked of::

    class TestNomad(BackendConformance):
        @pytest.fixture
        def subject(self) -> Iterator[Subject]:
            yield LiveSubject(cluster="nomad", connect=...)

Every test names in its docstring what is promised. What a cluster does not say it can, and what a subject cannot do to
its cluster, is not asked, and reported as such; ``--roadstead-matrix`` prints which of it that was. The tests know no
backend and no vendor.
"""

from __future__ import annotations

from roadstead.testing.conformance.contract import Contract
from roadstead.testing.conformance.drifting import Drifting
from roadstead.testing.conformance.eviction import Eviction
from roadstead.testing.conformance.failures import Failures
from roadstead.testing.conformance.idempotency import Idempotency
from roadstead.testing.conformance.live import LiveSubject
from roadstead.testing.conformance.observing import Observing
from roadstead.testing.conformance.ownership import Ownership
from roadstead.testing.conformance.placement import Placement
from roadstead.testing.conformance.preconditions import Preconditions
from roadstead.testing.conformance.restarts import Restarting
from roadstead.testing.conformance.reverting import Reverting
from roadstead.testing.conformance.scaling import Scaling
from roadstead.testing.conformance.settling import Settling
from roadstead.testing.conformance.side_by_side import SideBySide
from roadstead.testing.subject import Subject

__all__ = ["AREAS", "BackendConformance", "LiveSubject", "Subject"]

AREAS = (
    Contract,
    Observing,
    Idempotency,
    Preconditions,
    Ownership,
    Placement,
    Scaling,
    Restarting,
    Eviction,
    Drifting,
    Reverting,
    Settling,
    Failures,
    SideBySide,
)
"""The parts of the kit, in the order in which they are reported."""


class BackendConformance(
    Contract,
    Observing,
    Idempotency,
    Preconditions,
    Ownership,
    Placement,
    Scaling,
    Restarting,
    Eviction,
    Drifting,
    Reverting,
    Settling,
    Failures,
    SideBySide,
):
    """All that is asked of a backend; a subclass has a fixture ``subject``, see :class:`Subject`."""
