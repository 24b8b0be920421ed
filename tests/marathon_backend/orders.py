"""Orders and templates for the pure tests of the Marathon backend."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from roadstead.model import Template, WholeGpus
from roadstead.spi.backend import GroupOrder
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.units import Duration
from roadstead.wire import to_wire
from roadstead_backends.marathon.app_options import AppOptions, Network
from tests.orders import NAMES, SECONDS, TEXTS, constraints_on, order_for, template_with, templates_of

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
    return order_for(template, launch, generation=generation)


_options = st.builds(
    AppOptions,
    network=st.sampled_from(Network),
    accepted_roles=st.sampled_from([(), ("*",)]),
    backoff=SECONDS,
    backoff_percent=st.integers(100, 300),
    max_launch_delay=st.integers(3_600, 7_200).map(lambda count: Duration(count * 1000)),
    labels=st.dictionaries(NAMES, TEXTS, max_size=2),
)


def templates() -> st.SearchStrategy[Template]:
    """Any template that Marathon can express."""
    return templates_of(
        sources=("/models/minilm", "https://h/m.tar.gz?x=1", "http://h/m.zip"),
        gpus=st.none() | st.builds(WholeGpus, count=st.integers(1, 8), models=st.sampled_from([(), ("A100", "H-1")])),
        constraints=constraints_on(st.sampled_from(["zone", "region", "hostname", "rack"]), TEXTS.filter(bool), NAMES),
        most_in_one_place=(None, 1, 3),
        backend_options=_options.map(lambda said: json.dumps(to_wire(said), sort_keys=True)),
    )
