"""What the plugin prints, of a run of its own: who was asked what, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

_TESTS = """
import pytest
from roadstead.testing.conformance import BackendConformance
from roadstead_backends.simulated.tempers import DIRECTED, MARATHON
from tests.kit import doing_wrong, wrapping
from tests.kit.clusters import wrapped

class TestBoth(BackendConformance):
    @pytest.fixture(params=["sound", "broken", "native"])
    def subject(self, request):
        wrong = {"broken": doing_wrong.FillsNodesOver}
        temper = MARATHON if request.param == "native" else DIRECTED
        return wrapped(temper, wrong.get(request.param, wrapping.Faithful))
"""


def test_the_matrix_says_what_a_cluster_can_and_what_was_asked_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abilities as they are said; of each part, what passed of what was asked, and a dash where that was nothing."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(_TESTS)

    result = pytester.runpytest_subprocess("--roadstead-matrix", "-k", "room or devices or conflict_names")

    assert {"passed": 6, "failed": 3, "skipped": 3} == _counted(result.parseoutcomes())
    result.stdout.re_match_lines(
        [
            r" +sound +broken +native",
            r"lets us pick the node +yes +yes +-",
            r"picks the node itself +- +- +yes",
            r"Failures +1/1 +1/1 +1/1",
            r"Placement +3/3 +0/3 +-",
        ]
    )


def _counted(outcomes: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in outcomes.items() if name != "deselected"}
