"""What others changed of an app, told from what Marathon fills in by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadstead.model import Constraint, Operator, PlacementSpec, Template
from roadstead_backends.marathon import names
from roadstead_backends.marathon.drift import drift_of
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from roadstead_backends.marathon.messages import App
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.translate import app, restored, stored
from tests.marathon_backend.orders import order_of, template_with, templates

OPTIONS = MarathonOptions(urls=("http://h",), gpu_attribute="gpu_model")


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """One Marathon that has GPUs and networks with names."""
    settings = Settings(features=frozenset({"gpu_resources"}), default_network_name="models")
    with emulated(Plan(by_hand=True, settings=settings)) as running:
        yield running


def drift(document: dict[str, Any], found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return what of an app is not as it was made, by field."""
    marks = {name: value for name, value in document["labels"].items() if name.startswith(names.PREFIX)}
    told = drift_of(document["labels"][names.RENDERING], marks, found)
    assert len(told) == len({one.field for one in told})
    return {one.field: (one.ours, one.theirs) for one in told}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(template=templates())
def test_what_marathon_makes_of_an_app_of_ours_is_no_drift(marathon: Emulated, template: Template) -> None:
    """Whatever it fills in, and however it writes numbers; nor is it after it was scaled, or put back."""
    document = app(order_of(template), 0, OPTIONS)
    path = f"/v2/apps{document['id']}"
    try:
        status, answer = marathon.ask("POST", "/v2/apps?force=true", document)
        assert 201 == status, answer
        found = marathon.ask("GET", path)[1]["app"]
        assert {} == drift(document, found)
        said = stored(App(id=document["id"], labels=found["labels"]))
        assert said is not None
        marks = {name: value for name, value in found["labels"].items() if name.startswith(names.PREFIX)}
        again = restored(said, marks, App(id=document["id"], instances=0, labels={}))
        assert document == again
        marathon.ask("PUT", f"{path}?force=true&partialUpdate=false", again)
        assert {} == drift(document, marathon.ask("GET", path)[1]["app"])
    finally:
        marathon.ask("DELETE", f"{path}?force=true")
        marathon.advance(1)


_CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"cmd": "sleep 9"}, "cmd"),
    ({"cpus": 7.5}, "cpus"),
    ({"env": {"CUDA_VISIBLE_DEVICES": "-1", "PLAIN": "$(no variable)", "MORE": "1"}}, "env.MORE"),
    ({"constraints": [["hostname", "UNIQUE"]]}, "constraints"),
    (
        {"upgradeStrategy": {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}},
        "upgradeStrategy.minimumHealthCapacity",
    ),
    ({"unreachableStrategy": "disabled"}, "unreachableStrategy"),
    ({"backoffSeconds": 77}, "backoffSeconds"),
    ({"healthChecks": []}, "healthChecks"),
    ({"user": "root"}, "user"),
    ({"dependencies": ["/other"]}, "dependencies"),
    ({"acceptedResourceRoles": ["*"]}, "acceptedResourceRoles"),
]


@pytest.mark.parametrize(("change", "field"), _CHANGES, ids=[field for _, field in _CHANGES])
def test_what_somebody_else_writes_is_drift_by_its_field(change: dict[str, Any], field: str) -> None:
    """With both values, and nothing besides."""
    document = app(order_of(template_with()), 1, OPTIONS)
    assert [field] == sorted(drift(document, {**document, **change}))
    ours, theirs = drift(document, {**document, **change})[field]
    assert ours != theirs


def test_the_order_of_what_is_kept_as_a_set_is_no_drift(marathon: Emulated) -> None:
    """More than four constraints come back in an order of Marathon's own, and each but once; another one is drift."""
    rules = tuple(Constraint(attribute=f"rack-{name}", operator=Operator.EXISTS) for name in "abcdefa")
    document = app(order_of(template_with(placement=PlacementSpec(constraints=rules))), 0, OPTIONS)
    path = f"/v2/apps{document['id']}"
    assert 201 == marathon.ask("POST", "/v2/apps", document)[0]
    found = marathon.ask("GET", path)[1]["app"]
    assert found["constraints"] != document["constraints"]
    assert {} == drift(document, found)
    more = [*found["constraints"], ["rack-g", "UNIQUE"]]
    assert ["constraints"] == sorted(drift(document, {**found, "constraints": more}))
    marathon.ask("DELETE", f"{path}?force=true")
    marathon.advance(1)


@given(st.dictionaries(st.sampled_from(["team", "a.b", "c/d"]), st.text(max_size=4), min_size=1))
def test_labels_of_others_are_told_one_by_one(more: dict[str, str]) -> None:
    """Each is somebody's word; ours are still there."""
    document = app(order_of(template_with()), 1, OPTIONS)
    found = {**document, "labels": {**document["labels"], **more}}
    expected = {f"labels.{name}" if name.isalnum() else f"labels[{name}]": ("nothing", more[name]) for name in more}
    assert expected == drift(document, found)


@pytest.mark.parametrize("rendering", ["", "{", "[]"])
def test_a_rendering_that_cannot_be_read_is_said(rendering: str) -> None:
    """Whoever calls has to know that nothing was compared."""
    with pytest.raises(ValueError, match=r"rendering|Expecting"):
        drift_of(rendering, {}, {})
