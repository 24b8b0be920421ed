"""A template's canonical form and the revision that names it on a cluster."""

from __future__ import annotations

import json
import string

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import (
    BatchingSpec,
    Constraint,
    GpuPart,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    RuntimeSpec,
    Secret,
    Spread,
    StopSpec,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.template import REVISION_LENGTH, canonical, from_canonical, revision, target
from roadstead.testing.strategies import templates
from roadstead.units import Cpus, Duration, GpuShare, Memory

PLAIN = Template(model=ModelSpec(name="minilm", source="/models/minilm"))
EVERY_DEFAULT_SPELLED_OUT = Template(
    model=ModelSpec(name="minilm", source="/models/minilm", format="tf_saved_model", version=1, digest=None),
    runtime=RuntimeSpec(
        name="tf_serving",
        engine="embedded",
        image=None,
        batching=BatchingSpec(max_batch_size=32, timeout=Duration(5), threads=1, max_enqueued=100),
        args=(),
    ),
    resources=Resources(cpu=Cpus(1_000), memory=Memory(2_147_483_648), disk=Memory(0), gpu=None),
    env=(),
    secrets=(),
    health=HealthSpec(
        start_within=Duration(120_000),
        every=Duration(5_000),
        failures=3,
        node_lost_after=Duration(30_000),
        canary=None,
    ),
    stop=StopSpec(drain_within=Duration(30_000), kill_after=Duration(5_000)),
    placement=PlacementSpec(constraints=(), spread=None),
    backend_options="",
)
FULL = Template(
    model=ModelSpec(name="llm", source="gs://models/llm", version=7, digest="ab" * 32),
    runtime=RuntimeSpec(engine="tensorflow_model_server", image="tf:2.17", batching=None, args=("--v=1",)),
    resources=Resources(
        cpu=Cpus(4_000),
        memory=Memory(8 * 1024**3),
        disk=Memory(1024**3),
        gpu=WholeGpus(count=2, models=("A100", "H100"), memory=Memory(20 * 1024**3)),
    ),
    env=(Variable("LOG", "1"),),
    secrets=(Secret(name="TOKEN", ref="env:TOKEN", version=2),),
    health=HealthSpec(canary='{"instances":[1]}'),
    stop=StopSpec(drain_within=Duration(60_000)),
    placement=PlacementSpec(
        constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("a", "b")),),
        spread=Spread(by="zone", max_per=2),
    ),
    backend_options='{"priority_class":"high"}',
)
OTHER_VERSION = attrs.evolve(PLAIN, model=attrs.evolve(PLAIN.model, version=2))
OTHER_TEMPLATES = [
    attrs.evolve(PLAIN, model=attrs.evolve(PLAIN.model, source="/models/other")),
    attrs.evolve(PLAIN, resources=Resources(cpu=Cpus(1_001))),
    attrs.evolve(PLAIN, resources=Resources(gpu=GpuPart(share=GpuShare(500)))),
    attrs.evolve(PLAIN, resources=Resources(gpu=WholeGpus(count=1))),
    attrs.evolve(PLAIN, env=(Variable("A", ""),)),
    attrs.evolve(PLAIN, stop=StopSpec(kill_after=Duration(1))),
    attrs.evolve(PLAIN, backend_options="{}"),
    attrs.evolve(PLAIN, runtime=RuntimeSpec(batching=None)),
]


def test_the_revision_of_a_known_template_never_changes() -> None:
    """They are on running clusters: a field, default or spelling that moved one would restart every replica."""
    assert ["bppvt5znj6", "j7dbx4gke5"] == [revision(PLAIN), revision(FULL)]


def test_the_canonical_form_of_a_known_template_never_changes() -> None:
    """The text behind the revision, so that a change of it can be read."""
    assert '{"canonical":1,"model":{"name":"minilm","source":"/models/minilm"}}' == canonical(PLAIN)


def test_no_default_ever_changes() -> None:
    """Spelling out the defaults as they were at first gives the same template, and so the same revision."""
    assert EVERY_DEFAULT_SPELLED_OUT == PLAIN


@given(templates())
def test_the_canonical_form_is_read_back(template: Template) -> None:
    """Nothing of a template is lost in its canonical form."""
    assert template == from_canonical(canonical(template))


@given(templates())
def test_the_canonical_form_says_each_thing_once(template: Template) -> None:
    """Sorted keys, no white space, ASCII, and the same text after reading it back."""
    text = canonical(template)
    assert text.isascii()
    assert text == canonical(from_canonical(text))
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@given(templates(), templates())
def test_two_templates_share_a_revision_only_if_they_are_equal(one: Template, other: Template) -> None:
    """The revision is the template's identity."""
    assert (one == other) == (revision(one) == revision(other))


@given(templates())
def test_a_revision_is_ten_lower_case_base_32_characters(template: Template) -> None:
    """It fits in every orchestrator's names."""
    text = revision(template)
    assert REVISION_LENGTH == len(text)
    assert set(text) <= set(string.ascii_lowercase + "234567")


@pytest.mark.parametrize("changed", [OTHER_VERSION, *OTHER_TEMPLATES])
def test_any_change_of_the_template_is_a_new_revision(changed: Template) -> None:
    """All that a running replica embodies is in its name."""
    assert revision(PLAIN) != revision(changed)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not the canonical form"),
        ("[]", "not the canonical form"),
        ("{}", "not the canonical form"),
        ('{"canonical":2,"model":{"name":"m","source":"/m"}}', "canonical form 2 is not known"),
        ('{"canonical":1}', "model"),
        ('{"canonical":1,"model":{"name":"m","source":"/m"},"colour":"red"}', "colour"),
        ('{"canonical":1,"model":{"name":"m","source":"/m","version":"1"}}', "'1' is not a int"),
        ('{"canonical":1,"model":{"name":"m","source":"/m"},"resources":{"cpu":"1"}}', "is not the integer of a Cpus"),
    ],
)
def test_what_is_no_canonical_form_is_refused(text: str, says: str) -> None:
    """A group whose stored template cannot be read back is an error with the reason, not a guess."""
    with pytest.raises(ValueError, match=says):
        from_canonical(text)


@given(templates(), st.sampled_from(["here", "prod"]))
def test_a_target_carries_its_revision(template: Template, cluster: str) -> None:
    """What a deployment runs on a cluster is the template with its name there."""
    made = target(cluster, template)
    assert (cluster, template, revision(template)) == (made.cluster, made.template, made.revision)


@given(templates(), st.integers(0, 9), st.none() | st.just("ab" * 32))
def test_a_version_is_no_part_of_the_revision_where_replicas_reload(
    template: Template, version: int, digest: str | None
) -> None:
    """The same replicas load another version, and the target says in full which one."""
    other = attrs.evolve(template, model=attrs.evolve(template.model, version=version, digest=digest))
    one, another = target("here", template, reloads=True), target("here", other, reloads=True)
    assert one.revision == another.revision
    assert (template, other) == (one.template, another.template)


@given(templates())
def test_going_to_reload_or_from_it_is_a_new_revision(template: Template) -> None:
    """A replica that was started to keep its version is not one that can be told to load another."""
    assert target("here", template).revision != target("here", template, reloads=True).revision


@pytest.mark.parametrize("changed", OTHER_TEMPLATES)
def test_all_but_the_version_stays_in_the_revision_where_replicas_reload(changed: Template) -> None:
    """Whatever else a replica embodies still makes a new one."""
    assert target("here", PLAIN, reloads=True).revision != target("here", changed, reloads=True).revision


def test_the_revision_of_a_known_template_that_reloads_never_changes() -> None:
    """It is on running clusters too."""
    assert "ol4ewtvsvh" == target("here", FULL, reloads=True).revision
