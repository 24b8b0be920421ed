"""Orders and templates for the pure tests of the Marathon backend."""

from __future__ import annotations

import json
import string

import attrs
from hypothesis import strategies as st

from roadstead.model import (
    Constraint,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    RuntimeSpec,
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
from roadstead_backends.marathon.app_options import AppOptions, Network

__all__ = ["LAUNCH", "order_of", "template_with", "templates"]

LAUNCH = Launch(
    program=Program(executable="tensorflow_model_server"),
    args=(
        "--port=$(GRPC_PORT)",
        "--rest_api_port=$(REST_PORT)",
        "--config=$(CONFIG_DIR)/m",
        "--host=$(HOST)",
        "--odd=$(NOBODY)'$$",
    ),
    env=(("CUDA_VISIBLE_DEVICES", "-1"), ("WHERE", "at $(MODEL_DIR)"), ("PLAIN", "$(no variable)")),
    files=(ConfigFile("models.config", "base_path: \"$(MODEL_DIR)\" 'it''s'\n"),),
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


def template_with(options: AppOptions | None = None, **changes: object) -> Template:
    """Return a template of a model on an agent, with these fields."""
    said = json.dumps(to_wire(options), sort_keys=True) if options is not None else ""
    plain = Template(model=ModelSpec(name="minilm", source="/models/minilm"), backend_options=said)
    return attrs.evolve(plain, **changes)  # type: ignore[arg-type]  # fields of it


_words = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
_seconds = st.integers(0, 3_600).map(lambda count: Duration(count * 1000))
_constraints = st.one_of(
    st.builds(
        Constraint,
        attribute=st.sampled_from(["zone", "region", "hostname", "rack"]),
        operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
        values=st.lists(_texts.filter(bool), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Constraint, attribute=_words, operator=st.just(Operator.EXISTS)),
)
_options = st.builds(
    AppOptions,
    network=st.sampled_from(Network),
    accepted_roles=st.sampled_from([(), ("*",)]),
    backoff=_seconds,
    backoff_percent=st.integers(100, 300),
    max_launch_delay=st.integers(3_600, 7_200).map(lambda count: Duration(count * 1000)),
    labels=st.dictionaries(_words, _texts, max_size=2),
)


def templates() -> st.SearchStrategy[Template]:
    """Any template that Marathon can express."""
    return st.builds(
        Template,
        model=st.builds(
            ModelSpec,
            name=_words,
            source=st.sampled_from(["/models/minilm", "https://h/m.tar.gz?x=1", "http://h/m.zip"]),
            version=st.integers(0, 99),
            digest=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
        ),
        runtime=st.builds(RuntimeSpec, image=st.just("image:1")),
        resources=st.builds(
            Resources,
            cpu=st.integers(1, 100_000).map(Cpus),
            memory=st.integers(1, 2**44).map(Memory),
            disk=st.integers(0, 2**44).map(Memory),
            gpu=st.none()
            | st.builds(WholeGpus, count=st.integers(1, 8), models=st.sampled_from([(), ("A100", "H-1")])),
        ),
        env=st.lists(st.builds(Variable, name=_words, value=_texts), max_size=3, unique_by=lambda one: one.name).map(
            tuple
        ),
        health=st.builds(
            HealthSpec, start_within=_seconds, every=st.integers(1, 60_000).map(Duration), node_lost_after=_seconds
        ),
        stop=st.builds(StopSpec, drain_within=_seconds, kill_after=_seconds),
        placement=st.builds(
            PlacementSpec,
            constraints=st.lists(_constraints, max_size=3).map(tuple),
            spread=st.none() | st.builds(Spread, by=_words, max_per=st.sampled_from([None, 1, 3])),
        ),
        backend_options=_options.map(lambda said: json.dumps(to_wire(said), sort_keys=True)),
    )
