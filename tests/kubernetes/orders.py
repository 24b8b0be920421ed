"""Orders and templates for the pure tests of the Kubernetes backend."""

from __future__ import annotations

from hypothesis import strategies as st

from roadstead.model import GpuPartition, Secret, Template, WholeGpus
from roadstead.spi.backend import GroupOrder
from roadstead.spi.runtime import ConfigFile, Launch, Program
from tests.orders import NAMES, constraints_on, order_for, template_with, templates_of

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
    return order_for(template, launch, generation=generation)


def templates() -> st.SearchStrategy[Template]:
    """Any template that Kubernetes can express."""
    sources = (
        "/models/minilm",
        "pvc://models/minilm",
        "pvc://models",
        "oci://registry/m@sha256:ab",
        "https://h/m.tar",
        "s3://b/m",
    )
    gpus = st.one_of(
        st.none(),
        st.builds(WholeGpus, count=st.integers(1, 8), models=st.lists(NAMES, max_size=2).map(tuple)),
        st.builds(GpuPartition, profile=st.sampled_from(["1g.10gb", "3g.40gb"])),
    )
    secret = st.builds(Secret, name=NAMES.map(str.upper), ref=NAMES.map(lambda name: f"kubernetes:{name}/key"))
    return templates_of(
        sources=sources,
        gpus=gpus,
        constraints=constraints_on(NAMES, NAMES, NAMES),
        most_in_one_place=(None, 1),
        secrets=st.lists(secret, max_size=2, unique_by=lambda one: one.name).map(tuple),
    ).filter(lambda one: one.model.digest is None or not one.model.source.startswith("s3:"))
