"""Our values on a wire or a disk."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.memory import PlanMemory
from roadstead.model import (
    Gpu,
    GpuPart,
    GpuPartition,
    Resources,
    ScaleIntent,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.testing.strategies import gpus, templates
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.wire import from_wire, to_wire
from roadstead.world import (
    Device,
    Endpoint,
    Exit,
    Node,
    Outcome,
    OutcomeKind,
    Phase,
    Replica,
)


def through_json(value: object) -> Any:
    """Return what arrives when a value is sent as JSON."""
    return json.loads(json.dumps(to_wire(value), allow_nan=False))


@given(templates())
def test_a_template_arrives_as_it_was_sent(template: Template) -> None:
    """Amounts, unions, optional parts and lists survive JSON."""
    assert template == from_wire(through_json(template), Template)


@given(gpus())
def test_each_way_to_ask_for_a_gpu_stays_itself(gpu: Gpu) -> None:
    """The members of a union are told apart, also where their fields overlap."""
    resources = Resources(gpu=gpu)
    assert resources == from_wire(through_json(resources), Resources)


REASON = Reason(
    code=ReasonCode.NO_CAPACITY, detail="no room", count=1, total=3, raw="x", change=Change(ChangeKind.ADD_NODE, "add")
)
REPLICA = Replica(
    id="r",
    phase=Phase.RUNNING,
    node="n",
    devices=("g",),
    endpoint=Endpoint(host="127.1.2.3", grpc=8500, rest=None),
    incarnation="i",
    ready=True,
    restarts=2,
    started_at=1,
    reason=REASON,
    last_exit=Exit(at=1, signal=9, out_of_memory=True),
)


@pytest.mark.parametrize(
    "value",
    [
        Variable("A", "1"),
        ScaleIntent(deployment="minilm", replicas=3, declared=2),
        REASON,
        REPLICA,
        Outcome(turn=3, cluster="here", subject="g", kind=OutcomeKind.UNKNOWN, code="RS107", retry_after=5),
        Node(
            name="n",
            cpu=Cpus(1),
            memory=Memory(1),
            devices=(Device(id="g", model="A100", memory=Memory(1), partitions=("1g.10gb",)),),
            attributes={"zone": "a"},
        ),
        PlanMemory(),
    ],
)
def test_values_of_the_world_and_the_plan_arrive_as_they_were_sent(value: object) -> None:
    """The journal and the control socket carry these."""
    assert value == from_wire(through_json(value), type(value))


def test_what_equals_its_default_is_left_out() -> None:
    """A wire carries what was said, so that a new field with a default changes no stored value."""
    assert {} == to_wire(Resources())
    assert {"cpu": 500} == to_wire(Resources(cpu=Cpus(500)))


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        ({"name": "A"}, Variable, "value"),
        ({"name": "A", "value": "1", "colour": "red"}, Variable, "colour"),
        ({"name": "A", "value": 1}, Variable, "value: 1 is not a str"),
        ({"deployment": "a", "replicas": "3", "declared": 2}, ScaleIntent, "'3' is not a int"),
        ({"deployment": "a", "replicas": True, "declared": 2}, ScaleIntent, "True is not a int"),
        ({"deployment": "a", "replicas": 1.0, "declared": 2}, ScaleIntent, "1.0 is not a int"),
        ({"cpu": "1"}, Resources, "cpu: .* integer of a Cpus"),
        ({"cpu": -1}, Resources, "at least 0"),
        ({"gpu": {"colour": "red"}}, Resources, "gpu: "),
        ([], Resources, "."),
        ({"code": "no-such", "detail": ""}, Reason, "no-such"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field(data: object, kind: type[Any], says: str) -> None:
    """Data that we did not write is refused whole, with what is wrong about it."""
    with pytest.raises(ValueError, match=f"not a {kind.__name__}: .*(?:{says})"):
        from_wire(data, kind)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda of: st.lists(of) | st.dictionaries(st.text(max_size=3), of),
        max_leaves=6,
    )
)
def test_any_data_gives_a_value_or_a_value_error(data: object) -> None:
    """A damaged file is an error that can be caught, whatever is in it."""
    for kind in (Template, PlanMemory, Reason):
        try:
            value: object = from_wire(data, kind)
        except ValueError:
            continue
        assert attrs.has(type(value))


@pytest.mark.parametrize("gpu", [WholeGpus(count=1), GpuPart(share=GpuShare(500)), GpuPartition("1g.10gb")])
def test_amounts_are_written_as_their_integers(gpu: Gpu) -> None:
    """A spelling may change and a number may not."""
    assert all(not isinstance(value, float) for value in to_wire(gpu).values())
    assert 500 == to_wire(GpuShare(500))
    assert 30_000 == to_wire(Duration(30_000))
