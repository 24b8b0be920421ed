"""The stages of a pod's life on a stand-in node, without a cluster."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster.standin_life import BEHAVIOUR, Behaviour, Chances, Pod, Stage, behaviour_of, course
from tests.cluster.standin_node import quantity

FAST = Chances(back_off=0.01)


def a_pod(behaviour: Behaviour | None = None, *, pre_stop: int = 0) -> Pod:
    """Return a pod as a watch would show it."""
    annotations = {BEHAVIOUR: behaviour.value} if behaviour is not None else {}
    container = {"name": "server", "image": "server:1", "lifecycle": {"preStop": {"sleep": {"seconds": pre_stop}}}}
    raw = {
        "metadata": {"name": "a", "namespace": "models", "uid": "u", "annotations": annotations, "managedFields": []},
        "spec": {"containers": [container], "nodeName": "n"},
        "status": {"phase": "Pending", "conditions": []},
    }
    return msgspec.convert(raw, Pod)


def a_chance(seed: int) -> random.Random:
    """Return what a stand-in draws from."""
    return random.Random(seed)  # noqa: S311  # no secret


def stages(behaviour: Behaviour, seed: int, most: int = 40) -> list[Stage]:
    """Return the first stages of a pod that behaves so."""
    return list(islice(course(a_pod(), behaviour, FAST, a_chance(seed), "10.0.0.1"), most))


def is_ready(stage: Stage) -> bool:
    """Return whether the pod's own condition says that it is ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in stage.status["conditions"])


@given(st.sampled_from(Behaviour), st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_life(behaviour: Behaviour, seed: int) -> None:
    """A run can be repeated: what happens to a pod depends on its behaviour and its seed only."""
    assert stages(behaviour, seed) == stages(behaviour, seed)


@given(st.sampled_from(Behaviour), st.integers(0, 2**32))
def test_a_life_begins_with_creating_and_restarts_only_ever_grow(behaviour: Behaviour, seed: int) -> None:
    """As a kubelet shows it: ContainerCreating first, and a restart count that is never taken back."""
    life = stages(behaviour, seed)
    states = [stage.status["containerStatuses"][0] for stage in life]
    assert "ContainerCreating" == states[0]["state"]["waiting"]["reason"]
    counts = [state["restartCount"] for state in states]
    assert sorted(counts) == counts
    assert all(stage.after >= 0 for stage in life)


@given(st.sampled_from(Behaviour), st.integers(0, 2**32))
def test_only_what_runs_is_ready(behaviour: Behaviour, seed: int) -> None:
    """A pod is ready in no stage in which its container does not run."""
    for stage in stages(behaviour, seed):
        if is_ready(stage):
            assert "running" in stage.status["containerStatuses"][0]["state"]
            assert "10.0.0.1" == stage.status["podIP"]


@pytest.mark.parametrize(
    ("behaviour", "ready"),
    [
        (Behaviour.WELL, True),
        (Behaviour.IGNORE_TERM, True),
        (Behaviour.FLAP, True),
        (Behaviour.NEVER_READY, False),
        (Behaviour.CRASH, False),
        (Behaviour.OUT_OF_MEMORY, False),
        (Behaviour.NO_IMAGE, False),
    ],
)
def test_who_misbehaves_is_never_ready(behaviour: Behaviour, ready: bool) -> None:
    """A behaviour is seen: those that fail do not become ready, and the others do."""
    assert ready == any(map(is_ready, stages(behaviour, 1)))


def test_a_pod_says_itself_how_it_behaves() -> None:
    """The annotation wins over chance, so that a test can name the one pod that crashes."""
    always_crash = Chances(crash=1.0)
    chance = a_chance(0)
    assert Behaviour.FLAP == behaviour_of(a_pod(Behaviour.FLAP), always_crash, chance)
    assert Behaviour.CRASH == behaviour_of(a_pod(), always_crash, chance)
    assert Behaviour.WELL == behaviour_of(a_pod(), Chances(), chance)


def test_the_sleep_before_a_stop_is_read_from_the_pod() -> None:
    """A ``preStop`` sleep is part of how long a pod takes to stop."""
    assert 7 == a_pod(pre_stop=7).pre_stop


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("500m", Fraction(1, 2)), ("2Gi", 2 * 2**30), ("2G", 2 * 10**9), ("1.5", Fraction(3, 2)), ("8k", 8000)],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, number: Fraction) -> None:
    """Decimal and binary suffixes, and thousandths, are exact numbers."""
    assert number == quantity(text)
