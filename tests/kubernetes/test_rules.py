"""What a namespace's rules do not allow of a replica is known before it is asked for."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.capabilities import Bounds
from roadstead.decide.eligibility import shortfalls
from roadstead.model import ModelSpec, Resources
from roadstead.units import Cpus, Memory
from roadstead_backends.kubernetes.abilities import capabilities
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.objects import LimitRange, StorageClass, VolumeClaim
from roadstead_backends.kubernetes.rules import Rules
from tests.kubernetes.orders import template_with

Json = dict[str, Any]

HERE = Place(namespace="models", fleet="shop", owner_id="o", directed=True)


def limited(*limits: Json) -> Rules:
    """Return the rules of a namespace with a LimitRange of its own for each of these limits."""
    rules = Rules()
    for number, one in enumerate(limits):
        made = msgspec.convert({"metadata": {"name": f"l-{number}"}, "spec": {"limits": [one]}}, LimitRange)
        rules.put_limits(f"l-{number}", made)
    return rules


def test_the_strictest_limit_of_a_container_or_its_pod_holds() -> None:
    """A limit for storage is about something else."""
    rules = limited(
        {"type": "Container", "max": {"cpu": "2", "memory": "4Gi"}, "min": {"cpu": "100m"}},
        {"type": "Pod", "max": {"cpu": "1500m"}, "min": {"memory": "128Mi", "cpu": "50m"}},
        {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
    )
    expected = Bounds(
        least_cpu=Cpus(100), most_cpu=Cpus(1500), least_memory=Memory(128 << 20), most_memory=Memory(4 << 30)
    )
    assert expected == rules.bounds
    for name in ("l-0", "l-1", "l-2"):
        rules.put_limits(name, None)
    assert Bounds() == rules.bounds


@given(
    *(st.integers(1, 64_000) for _ in range(3)),
    *(st.integers(2**20, 2**40) for _ in range(3)),
)
def test_a_template_is_refused_exactly_where_it_is_out_of_bounds(
    cpu: int, least_cpu: int, most_cpu: int, memory: int, least_memory: int, most_memory: int
) -> None:
    """As many sentences as there are bounds that it breaks."""
    bounds = Bounds(
        least_cpu=Cpus(least_cpu),
        most_cpu=Cpus(most_cpu),
        least_memory=Memory(least_memory),
        most_memory=Memory(most_memory),
    )
    template = template_with(resources=Resources(cpu=Cpus(cpu), memory=Memory(memory)))
    template = attrs.evolve(template, runtime=attrs.evolve(template.runtime, image="it"))
    able = capabilities(HERE, minor=37, notes=())
    broken = [cpu < least_cpu, cpu > most_cpu, memory < least_memory, memory > most_memory]
    found = len(shortfalls(template, attrs.evolve(able, bounds=bounds))) - len(shortfalls(template, able))
    assert sum(broken) == found


@pytest.mark.parametrize(
    ("directed", "mode", "phase", "refused"),
    [
        (True, "WaitForFirstConsumer", "Pending", True),
        (True, "WaitForFirstConsumer", "Bound", False),
        (True, "Immediate", "Pending", False),
        (False, "WaitForFirstConsumer", "Pending", False),
    ],
)
def test_a_volume_that_waits_for_another_scheduler_is_refused_where_we_place(
    directed: bool, mode: str, phase: str, refused: bool
) -> None:
    """Where that scheduler picks the nodes, and where the volume is there already, nothing is in the way."""
    rules = Rules()
    claim = {"metadata": {"name": "models"}, "spec": {"storageClassName": "fast"}, "status": {"phase": phase}}
    rules.put_claim("models", msgspec.convert(claim, VolumeClaim))
    storage = {"metadata": {"name": "fast"}, "volumeBindingMode": mode}
    rules.put_storage("fast", msgspec.convert(storage, StorageClass))
    able = capabilities(attrs.evolve(HERE, directed=directed), minor=37, notes=(), rules=rules)
    template = template_with(model=ModelSpec(name="m", source="pvc://models/m"))
    template = attrs.evolve(template, runtime=attrs.evolve(template.runtime, image="it"))
    said = "the volume of claim models waits for the cluster's own scheduler, which picks no node here"
    assert refused == (said in shortfalls(template, able))
