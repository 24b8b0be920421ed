"""Orders and templates for the pure tests of the Kubernetes backend."""

from __future__ import annotations

import json
import string

import attrs
from hypothesis import strategies as st

from roadstead.model import (
    Constraint,
    GpuPartition,
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
from roadstead.spi.backend import GroupOrder
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.template import revision
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead.world import GroupKey
from roadstead_backends.kubernetes.pod_options import PodOptions

__all__ = ["LAUNCH", "order_of", "template_with", "templates"]

LAUNCH = Launch(
    program=Program(executable="tensorflow_model_server"),
    args=("--port=8500", "--model_config_file=$(CONFIG_DIR)/models.config", "--host=$(HOST)", "--odd=$(NOBODY)$$"),
    env=(("CUDA_VISIBLE_DEVICES", "-1"),),
    files=(ConfigFile("models.config", 'base_path: "$(MODEL_DIR)"\n'),),
    grpc_port=8500,
    rest_port=8501,
    image="tensorflow/serving:2.20.0",
    rest_ready_path="/v1/models/minilm/versions/1",
)


def order_of(template: Template, *, launch: Launch = LAUNCH, generation: int = 1) -> GroupOrder:
    """Return the order for a group of a template."""
    return GroupOrder(
        key=GroupKey("minilm", revision(template)),
        fleet="shop",
        owner="search",
        owner_id="0f1e2d",
        generation=generation,
        template=template,
        launch=launch,
    )


def template_with(options: PodOptions | None = None, **changes: object) -> Template:
    """Return a template of a model on a node, with these fields."""
    said = json.dumps(to_wire(options), sort_keys=True) if options is not None else ""
    plain = Template(model=ModelSpec(name="minilm", source="/models/minilm"), backend_options=said)
    return attrs.evolve(plain, **changes)  # type: ignore[arg-type]  # fields of it


_labels = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
_seconds = st.integers(0, 3_600).map(lambda count: Duration(count * 1000))


def _constraints() -> st.SearchStrategy[Constraint]:
    values = st.lists(_labels, min_size=1, max_size=3).map(tuple)
    return st.one_of(
        st.builds(
            Constraint, attribute=_labels, operator=st.sampled_from([Operator.IN, Operator.NOT_IN]), values=values
        ),
        st.builds(Constraint, attribute=_labels, operator=st.just(Operator.EXISTS)),
    )


def templates() -> st.SearchStrategy[Template]:
    """Any template that Kubernetes can express."""
    sources = st.sampled_from(
        [
            "/models/minilm",
            "pvc://models/minilm",
            "pvc://models",
            "oci://registry/m@sha256:ab",
            "https://h/m.tar",
            "s3://b/m",
        ]
    )
    gpus = st.one_of(
        st.none(),
        st.builds(WholeGpus, count=st.integers(1, 8), models=st.lists(_labels, max_size=2).map(tuple)),
        st.builds(GpuPartition, profile=st.sampled_from(["1g.10gb", "3g.40gb"])),
    )
    return st.builds(
        Template,
        model=st.builds(
            ModelSpec,
            name=_labels,
            source=sources,
            version=st.integers(0, 99),
            digest=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
        ),
        runtime=st.builds(RuntimeSpec, image=st.just("image:1")),
        resources=st.builds(
            Resources,
            cpu=st.integers(1, 100_000).map(Cpus),
            memory=st.integers(1, 2**44).map(Memory),
            disk=st.integers(0, 2**44).map(Memory),
            gpu=gpus,
        ),
        env=st.lists(st.builds(Variable, name=_labels, value=_words), max_size=3, unique_by=lambda one: one.name).map(
            tuple
        ),
        secrets=st.lists(
            st.builds(Secret, name=_labels.map(str.upper), ref=_labels.map(lambda name: f"kubernetes:{name}/key")),
            max_size=2,
            unique_by=lambda one: one.name,
        ).map(tuple),
        health=st.builds(
            HealthSpec, start_within=_seconds, every=st.integers(1, 60_000).map(Duration), node_lost_after=_seconds
        ),
        stop=st.builds(StopSpec, drain_within=_seconds, kill_after=_seconds),
        placement=st.builds(
            PlacementSpec,
            constraints=st.lists(_constraints(), max_size=3).map(tuple),
            spread=st.none() | st.builds(Spread, by=_labels, max_per=st.sampled_from([None, 1])),
        ),
    ).filter(lambda one: one.model.digest is None or not one.model.source.startswith("s3:"))
