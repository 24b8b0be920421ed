"""What a Marathon says it can do is what it can be asked for: all else is ineligible, with the reason."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.capabilities import Capabilities, Engine, GpuKind
from roadstead.decide.eligibility import shortfalls
from roadstead.model import (
    Constraint,
    GpuPart,
    GpuPartition,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    Secret,
    Template,
    WholeGpus,
)
from roadstead.units import GpuShare, Memory
from roadstead_backends.marathon.abilities import capabilities, release
from roadstead_backends.marathon.messages import Info, MarathonConfig
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.translate import app
from tests.marathon_backend.orders import order_of, template_with, templates

OPTIONS = MarathonOptions(urls=("http://h",))
GPUS = Info(version="1.11.26", marathon_config=MarathonConfig(features=("gpu_resources",)))
_gpus = st.one_of(
    st.none(),
    st.builds(
        WholeGpus,
        count=st.integers(1, 8),
        models=st.sampled_from([(), ("A100",)]),
        memory=st.sampled_from([Memory(0), Memory(1)]),
    ),
    st.just(GpuPart(share=GpuShare(500))),
    st.just(GpuPartition("1g.10gb")),
)


def able(options: MarathonOptions = OPTIONS, info: Info = GPUS) -> Capabilities:
    """Return what such a Marathon can do."""
    return capabilities(options, info)


@given(
    templates(),
    _gpus,
    st.sampled_from(Containers),
    st.sampled_from([None, "gpu_model"]),
    st.sampled_from([(), (Secret(name="TOKEN", ref="file:/t"),)]),
    st.sampled_from(["/models/m", "s3://b/m", "pvc://m", "oci://m"]),
)
def test_what_it_is_eligible_for_it_can_express(
    template: Template,
    gpu: WholeGpus | GpuPart | GpuPartition | None,
    containers: Containers,
    attribute: str | None,
    secrets: tuple[Secret, ...],
    source: str,
) -> None:
    """No order is refused as inexpressible that the planner took for possible; networks are the options' own matter."""
    options = attrs.evolve(OPTIONS, containers=containers, gpu_attribute=attribute)
    changed = attrs.evolve(
        template,
        backend_options="",
        secrets=secrets,
        resources=attrs.evolve(template.resources, gpu=gpu),
        model=attrs.evolve(template.model, source=source),
    )
    if not shortfalls(changed, able(options)):
        assert app(order_of(changed), 1, options)


@pytest.mark.parametrize(
    ("template", "options", "info", "said"),
    [
        (template_with(resources=Resources(gpu=WholeGpus(count=1))), OPTIONS, Info(version="1.11.0"), "it gives: none"),
        (
            template_with(resources=Resources(gpu=WholeGpus(count=1))),
            attrs.evolve(OPTIONS, containers=Containers.DOCKER),
            GPUS,
            "it gives: none",
        ),
        (
            template_with(resources=Resources(gpu=WholeGpus(count=1, models=("A100",)))),
            OPTIONS,
            GPUS,
            "it does not know which models its GPUs are",
        ),
        (
            template_with(resources=Resources(gpu=WholeGpus(count=1, memory=Memory(1)))),
            OPTIONS,
            GPUS,
            "it does not know how much memory its GPUs have",
        ),
        (template_with(secrets=(Secret(name="T", ref="file:/t"),)), OPTIONS, GPUS, "cannot resolve the secret T"),
        (template_with(), OPTIONS, GPUS, "runtime.image is not set"),
        (template_with(model=ModelSpec(name="m", source="/elsewhere/m")), OPTIONS, GPUS, "none of its model_roots"),
    ],
)
def test_what_it_cannot_do_is_said_before_it_is_asked(
    template: Template, options: MarathonOptions, info: Info, said: str
) -> None:
    """In the plan, a sentence each."""
    options = attrs.evolve(options, model_roots=("/models",))
    assert any(said in one for one in shortfalls(template, able(options, info)))


def test_patterns_are_left_to_its_own_scheduler() -> None:
    """Marathon has them; kube-scheduler has not."""
    matches = Constraint(attribute="rack", operator=Operator.MATCHES, values=("r[0-9]+",))
    template = template_with(placement=PlacementSpec(constraints=(matches,)))
    processes = able(attrs.evolve(OPTIONS, containers=Containers.NONE))
    assert () == shortfalls(template, processes)
    assert 1 == len(shortfalls(template, attrs.evolve(processes, matches=False)))


def test_abilities_follow_what_it_says_of_itself() -> None:
    """Programs or images, GPUs with the feature, and a word where it is too old."""
    assert (Engine.IMAGE, frozenset({GpuKind.WHOLE})) == (able().engine, able().gpu)
    assert Engine.PROCESS is able(attrs.evolve(OPTIONS, containers=Containers.NONE)).engine
    assert not any("older" in note for note in able().notes)
    assert any("1.5.2 is older than 1.8" in note for note in able(info=Info(version="1.5.2")).notes)
    assert [(1, 8), (1, 11), (0, 0), (0, 0)] == [release(one) for one in ("1.8.243", "1.11.26", "next", "1.x")]
