"""A written fleet file is read back as what was written."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.config import read_fleet
from roadstead.config.writing import Written, WrittenCluster, fleet_text
from roadstead.model import (
    BatchingSpec,
    Constraint,
    GpuPartition,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    Secret,
    Spread,
    StopSpec,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.pod_options import PodOptions, PullPolicy, Toleration
from tests.config.corpus import built_in

PROD = WrittenCluster(
    name="prod", backend="kubernetes", options=KubernetesOptions(namespace="models"), deployment_options=PodOptions
)
HOST = built_in()
_NAMES = st.text("abcdefgh", min_size=1, max_size=8)
_SECONDS = st.integers(1, 600).map(lambda count: Duration(1000 * count))
# Any of several models will do, so a template has them in one order.
_MODELS = st.lists(_NAMES, max_size=2, unique=True).map(lambda names: tuple(sorted(names)))
_GPUS = st.one_of(
    st.none(),
    st.builds(WholeGpus, count=st.integers(1, 8), models=_MODELS),
    st.just(GpuPartition("1g.10gb")),
)
_OPTIONS = st.builds(
    PodOptions,
    priority_class=st.none() | _NAMES,
    run_as_user=st.integers(0, 70_000),
    image_pull_policy=st.none() | st.sampled_from(PullPolicy),
    tolerations=st.lists(st.builds(Toleration, key=_NAMES, value=st.none() | _NAMES), max_size=2).map(tuple),
    labels=st.dictionaries(_NAMES, _NAMES, max_size=2),
)


def _as_carried(options: PodOptions) -> str:
    """Return options as a template has them."""
    said = to_wire(options)
    return json.dumps(said, sort_keys=True, separators=(",", ":")) if said else ""


TEMPLATES = st.builds(
    Template,
    model=st.builds(
        ModelSpec,
        name=_NAMES,
        source=st.sampled_from(["/models/m", "pvc://claim/m", "s3://bucket/m", "oci://registry/m:1"]),
        version=st.integers(0, 99),
    ),
    runtime=st.builds(
        RuntimeSpec,
        engine=st.sampled_from(["embedded", "tensorflow_model_server"]),
        image=st.none() | st.sampled_from(["server:1", "tensorflow/serving:2.20.0"]),
        batching=st.none() | st.builds(BatchingSpec, max_batch_size=st.integers(1, 64)),
        args=st.sampled_from([(), ("--flush_filesystem_caches=false",)]),
    ),
    resources=st.builds(
        Resources, cpu=st.integers(10, 9_000).map(Cpus), memory=st.integers(2**21, 2**40).map(Memory), gpu=_GPUS
    ),
    env=st.lists(st.builds(Variable, _NAMES, st.text("ab: #'\"{é", max_size=9)), max_size=1).map(tuple),
    secrets=st.lists(st.builds(Secret, name=st.just("TOKEN"), ref=st.just("kubernetes:a/b")), max_size=1).map(tuple),
    health=st.builds(
        HealthSpec,
        start_within=_SECONDS.map(lambda one: Duration(one.ms + 60_000)),
        every=st.integers(1, 20).map(lambda count: Duration(1000 * count)),
        failures=st.integers(1, 9),
    ),
    stop=st.builds(StopSpec, drain_within=_SECONDS, kill_after=_SECONDS),
    placement=st.builds(
        PlacementSpec,
        constraints=st.lists(
            st.builds(
                Constraint, attribute=_NAMES, operator=st.just(Operator.IN), values=_NAMES.map(lambda one: (one,))
            ),
            max_size=2,
        ).map(tuple),
        spread=st.none() | st.builds(Spread, by=_NAMES, max_per=st.sampled_from([None, 1])),
    ),
    backend_options=_OPTIONS.map(
        lambda one: json.dumps(to_wire(one), sort_keys=True, separators=(",", ":")) * (one != PodOptions())
    ),
)


@settings(max_examples=15)
@given(TEMPLATES, st.integers(0, 20), st.builds(RolloutSpec, max_surge=st.integers(1, 5), history=st.integers(0, 9)))
def test_what_is_written_is_read_back(template: Template, replicas: int, rollout: RolloutSpec) -> None:
    """Any template: its file has the same revision, the same count and the same rollout."""
    written = Written(name="minilm", template=template, replicas=replicas, rollout=rollout, comments=("made by hand",))
    text = fleet_text("shop", PROD, [written])
    fleet = read_fleet(Path("/fleets/fleet.yaml"), HOST, text=text)
    deployment = fleet.deployments["minilm"]
    assert template == attrs.evolve(deployment.targets[0].template, placement=template.placement)
    assert (replicas, rollout) == (deployment.replicas, deployment.rollout)
    assert set(template.placement.constraints) == set(deployment.targets[0].template.placement.constraints)
    assert "  # made by hand\n" in text


def test_a_file_without_deployments_is_one() -> None:
    """Where nothing was found, the file still names the cluster."""
    fleet = read_fleet(Path("/fleets/fleet.yaml"), HOST, text=fleet_text("shop", PROD, []))
    assert {} == fleet.deployments
    assert "models" == fleet.clusters["prod"].options.namespace  # type: ignore[attr-defined]  # its own options


def test_only_what_was_decided_is_written() -> None:
    """A plain deployment is a few lines: no default is repeated."""
    plain = Written(name="m", template=Template(model=ModelSpec(name="m", source="/models/m")), replicas=1)
    text = fleet_text("shop", PROD, [plain])
    assert 13 >= len(text.splitlines())
    for key in ("health", "stop", "rollout", "placement", "env"):
        assert key not in text


@pytest.mark.parametrize("odd", ["yes", "1.0", "a: b", "#", "", "é", " x ", "null"])
def test_odd_texts_stay_texts(odd: str) -> None:
    """What YAML would read as something else is quoted."""
    template = Template(model=ModelSpec(name="m", source="/models/m"))
    changed = attrs.evolve(template, runtime=attrs.evolve(template.runtime, image=odd or "x", args=(f"--odd={odd}",)))
    text = fleet_text("shop", PROD, [Written(name="m", template=changed, replicas=1)])
    read = read_fleet(Path("/fleets/fleet.yaml"), HOST, text=text).deployments["m"].targets[0].template
    assert changed.runtime == read.runtime
