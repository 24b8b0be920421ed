"""Apps of others as deployments of ours: what is kept, what is changed, and that nothing goes unsaid."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.model import (
    BatchingSpec,
    Constraint,
    ModelSpec,
    Operator,
    RolloutSpec,
    RuntimeSpec,
    Spread,
    StopSpec,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.spi.importing import Carried, Fate, Imported
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead_backends.marathon.app_options import AppOptions, HostMount, Network, app_options
from roadstead_backends.marathon.importing import imported, live
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.ports_import import Port, Ports
from roadstead_backends.marathon.translate import app
from roadstead_plugins.runtimes.tf_serving.launch import launch
from tests.marathon_backend.orders import order_of, templates

Json = dict[str, Any]

OPTIONS = MarathonOptions(urls=("https://h",), gpu_attribute="gpu_model")
MINILM: Json = {
    "id": "/prod/minilm",
    "cmd": "cd /opt && exec tensorflow_model_server --port=$PORT0 --rest_api_port=${PORT_REST} "
    "--model_name=minilm --model_base_path=/models/minilm -flush_filesystem_caches=false",
    "instances": 3,
    "cpus": 0.5,
    "mem": 2048,
    "gpus": 1,
    "env": {"TF_CPP_MIN_LOG_LEVEL": "1", "TOKEN": {"secret": "s0"}, "CUDA_VISIBLE_DEVICES": "0"},
    "secrets": {"s0": {"source": "/hub"}},
    "constraints": [
        ["hostname", "UNIQUE"],
        ["rack", "LIKE", "a|b\\.c"],
        ["rack", "LIKE", "r[0-9]"],
        ["rack", "UNLIKE", "z"],
        ["zone", "CLUSTER", "a"],
        ["@zone", "IS", "a"],
        ["@region", "CLUSTER"],
        ["@zone", "GROUP_BY"],
        ["gpu_model", "LIKE", "A100|H100"],
    ],
    "container": {
        "type": "MESOS",
        "docker": {"image": "tensorflow/serving:2.20.0"},
        "volumes": [
            {"containerPath": "/models", "hostPath": "/srv/models", "mode": "RO"},
            {"containerPath": "/certs", "hostPath": "/etc/certs", "mode": "RO"},
            {"containerPath": "/out", "hostPath": "/var/out", "mode": "RW"},
            {"containerPath": "data", "mode": "RW", "persistent": {"size": 100}},
        ],
    },
    "networks": [{"mode": "host"}],
    "portDefinitions": [
        {"port": 10000, "name": "grpc", "protocol": "tcp"},
        {"port": 10001, "name": "rest", "protocol": "tcp", "labels": {"VIP_0": "/minilm:80"}},
    ],
    "requirePorts": True,
    "healthChecks": [
        {"protocol": "MESOS_HTTP", "path": "/v1/models/minilm", "intervalSeconds": 10, "gracePeriodSeconds": 90},
        {"protocol": "COMMAND", "command": {"value": "true"}},
    ],
    "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.4},
    "unreachableStrategy": {"inactiveAfterSeconds": 60, "expungeAfterSeconds": 120},
    "taskKillGracePeriodSeconds": 20,
    "backoffFactor": 2.5,
    "backoffSeconds": 1,
    "dependencies": ["/prod/db"],
    "killSelection": "OLDEST_FIRST",
    "labels": {"team": "search"},
}
STOCK: Json = {
    "id": "bert",
    "args": ["--rest_api_timeout_in_ms=500"],
    "env": {"MODEL_NAME": "bert", "MODEL_BASE_PATH": "s3://bucket"},
    "container": {
        "type": "DOCKER",
        "docker": {
            "image": "tensorflow/serving",
            "network": "BRIDGE",
            "portMappings": [{"containerPort": 8501, "hostPort": 0}, {"containerPort": 8500, "servicePort": 10001}],
        },
    },
}


def minilm(**changes: Any) -> Imported:
    """Return the import of the app above."""
    return imported({**MINILM, **changes}, OPTIONS)


def fate_of(one: Imported, field: str) -> Carried:
    """Return what became of a field."""
    (found,) = (carried for carried in one.fields if carried.field == field)
    return found


# ---- what we make is read as what it was made from ----

_served = st.builds(
    RuntimeSpec,
    engine=st.sampled_from(["embedded", "tensorflow_model_server"]),
    image=st.just("image:1"),
    batching=st.none() | st.builds(BatchingSpec, max_batch_size=st.integers(1, 99), timeout=st.just(Duration(7))),
    args=st.sampled_from([(), ("--flush_filesystem_caches=false", "--tag='$HOST' \"$(HOST)\"")]),
)


def _up(value: Duration, least: int = 0) -> Duration:
    return Duration(max(least, -(-value.ms // 1000)) * 1000)


def _whole(memory: Memory) -> Memory:
    return Memory(-(-memory.bytes // 2**20) * 2**20)


def as_far_as_marathon_says(template: Template) -> Template:
    """Return a template as an app has it: in MiB and seconds, without preferences, and without time to drain."""
    known, health = template.resources, template.health
    spread, runtime = template.placement.spread, template.runtime
    host = "$(HOST)" if app_options(template).network is Network.HOST else "0.0.0.0"  # noqa: S104  # as it is told there
    return attrs.evolve(
        template,
        runtime=attrs.evolve(runtime, args=tuple(one.replace("$(HOST)", host) for one in runtime.args)),
        resources=attrs.evolve(known, memory=_whole(known.memory), disk=_whole(known.disk)),
        env=tuple(sorted(template.env, key=lambda one: one.name)),
        health=attrs.evolve(
            health,
            start_within=_up(health.start_within, 1),
            every=_up(health.every, 1),
            node_lost_after=_up(health.node_lost_after),
        ),
        stop=StopSpec(kill_after=_up(template.stop.kill_after)),
        placement=attrs.evolve(template.placement, spread=spread if spread is not None and spread.max_per else None),
        backend_options=json.dumps(to_wire(app_options(template)), sort_keys=True, separators=(",", ":")),
    )


@given(templates(), _served, st.sampled_from(Containers))
def test_an_app_that_we_make_is_imported_as_what_it_was_made_from(
    template: Template, runtime: RuntimeSpec, containers: Containers
) -> None:
    """Without our labels, from what its task runs alone."""
    options = attrs.evolve(OPTIONS, containers=containers)
    ordered = attrs.evolve(template, runtime=runtime)
    if containers is Containers.DOCKER:
        ordered = attrs.evolve(ordered, resources=attrs.evolve(ordered.resources, gpu=None))
    if containers is Containers.NONE:
        said = attrs.evolve(app_options(ordered), network=Network.HOST)
        image = attrs.evolve(runtime, image=None)
        ordered = attrs.evolve(ordered, runtime=image, backend_options=json.dumps(to_wire(said)))
    made = app(order_of(ordered, launch=launch(ordered)), 4, options)
    labels = {name: value for name, value in made["labels"].items() if not name.startswith("roadstead.dev/")}
    found = imported({**made, "labels": labels}, options)
    expected = as_far_as_marathon_says(ordered)
    if expected.backend_options == "{}":
        expected = attrs.evolve(expected, backend_options="")
    assert "" == found.refused
    assert expected == found.template
    assert 4 == found.replicas
    assert RolloutSpec() == found.rollout
    assert set() == {one.field for one in found.fields if one.fate is Fate.LOST}


# ---- what others made ----


def test_what_a_fleet_file_can_say_is_carried_over() -> None:
    """Model, image, limits, environment, placement, stopping, counts."""
    one = minilm()
    template = one.template
    assert template is not None
    assert ("/prod/minilm", "minilm", 3) == (one.native, one.name, one.replicas)
    assert ModelSpec(name="minilm", source="/srv/models/minilm") == template.model
    assert ("tensorflow_model_server", "tensorflow/serving:2.20.0", None) == (
        template.runtime.engine,
        template.runtime.image,
        template.runtime.batching,
    )
    assert ("--flush_filesystem_caches=false",) == template.runtime.args
    assert (Cpus(500), Memory(2 << 30), WholeGpus(count=1, models=("A100", "H100"))) == (
        template.resources.cpu,
        template.resources.memory,
        template.resources.gpu,
    )
    assert (Variable("CUDA_VISIBLE_DEVICES", "0"), Variable("TF_CPP_MIN_LOG_LEVEL", "1")) == template.env
    assert (Duration(10_000), 3, Duration(90_000), Duration(60_000)) == (
        template.health.every,
        template.health.failures,
        template.health.start_within,
        template.health.node_lost_after,
    )
    assert StopSpec(kill_after=Duration(20_000)) == template.stop
    assert (
        Constraint(attribute="rack", operator=Operator.IN, values=("a", "b.c")),
        Constraint(attribute="rack", operator=Operator.MATCHES, values=("r[0-9]",)),
        Constraint(attribute="rack", operator=Operator.NOT_IN, values=("z",)),
        Constraint(attribute="zone", operator=Operator.IN, values=("a",)),
    ) == template.placement.constraints
    assert Spread(by="hostname", max_per=1) == template.placement.spread
    assert (1, 1) == (one.rollout.max_surge, one.rollout.max_unavailable)
    assert AppOptions(
        backoff_percent=250,
        host_mounts=(HostMount(host_path="/etc/certs", path="/certs"),),
        labels={"team": "search"},
    ) == app_options(template)


@pytest.mark.parametrize(
    ("field", "fate"),
    [
        ("cmd", Fate.CHANGED),
        ("container.docker.image", Fate.KEPT),
        ("container.type", Fate.KEPT),
        ("container.volumes[0]", Fate.CHANGED),
        ("container.volumes[1]", Fate.KEPT),
        ("container.volumes[2]", Fate.LOST),
        ("container.volumes[3]", Fate.LOST),
        ("env.TOKEN", Fate.LOST),
        ("secrets", Fate.LOST),
        ("constraints[0]", Fate.KEPT),
        ("constraints[4]", Fate.LOST),
        ("constraints[6]", Fate.LOST),
        ("constraints[7]", Fate.LOST),
        ("portDefinitions[1].labels", Fate.LOST),
        ("requirePorts", Fate.LOST),
        ("healthChecks[0]", Fate.CHANGED),
        ("healthChecks[1]", Fate.LOST),
        ("upgradeStrategy", Fate.CHANGED),
        ("unreachableStrategy", Fate.CHANGED),
        ("dependencies", Fate.LOST),
        ("killSelection", Fate.LOST),
        ("labels", Fate.KEPT),
    ],
)
def test_the_report_says_what_became_of_a_field(field: str, fate: Fate) -> None:
    """And why, wherever it is not kept."""
    carried = fate_of(minilm(), field)
    assert fate is carried.fate
    assert bool(carried.detail) or fate is Fate.KEPT


def test_the_stock_image_is_understood_by_its_variables_also_in_the_words_of_old_versions() -> None:
    """``MODEL_NAME`` and ``MODEL_BASE_PATH`` say what flags would, and ports are found by their numbers."""
    options = attrs.evolve(OPTIONS, containers=Containers.DOCKER)
    one = imported(STOCK, options)
    assert one.template is not None
    assert ("bert", "s3://bucket/bert") == (one.template.model.name, one.template.model.source)
    assert ((), ("--rest_api_timeout_in_ms=500",)) == (one.template.env, one.template.runtime.args)
    assert AppOptions(network=Network.BRIDGE) == app_options(one.template)
    assert Fate.LOST is fate_of(one, "container.docker.portMappings[1].servicePort").fate
    read = live(STOCK, options)
    assert not isinstance(read, str)
    assert Ports(grpc=Port(index=1, container=8500), rest=Port(index=0, container=8501)) == read.served.ports


def test_ports_of_the_agent_are_found_by_their_variables() -> None:
    """By number or by name, whatever the command calls them."""
    read = live(MINILM, OPTIONS)
    assert not isinstance(read, str)
    assert Ports(grpc=Port(index=0), rest=Port(index=1)) == read.served.ports


def test_a_model_that_agents_fetch_is_its_archive() -> None:
    """The one that they unpack; where in it the versions lie is said."""
    fetching = {
        "cmd": "./bin/tensorflow_model_server --model_name=m --model_base_path=$MESOS_SANDBOX/m",
        "container": None,
        "uris": ["https://h/m.tar.gz", "https://h/notes.txt"],
    }
    one = minilm(**fetching)
    assert one.template is not None
    assert "https://h/m.tar.gz" == one.template.model.source
    assert ("./bin/tensorflow_model_server",) == app_options(one.template).command
    assert "at the top" in fate_of(one, "uris[0]").detail
    assert Fate.LOST is fate_of(one, "uris[1]").fate
    assert "it needs none, and mesos is said" in fate_of(one, "container").detail


def test_what_marathon_fills_in_is_not_in_the_report() -> None:
    """Nobody chose a version, a count or a default."""
    more = {
        "version": "2026-01-01T00:00:00.000Z",
        "versionInfo": {"lastScalingAt": "2026-01-01T00:00:00.000Z"},
        "tasksRunning": 3,
        "tasks": [{"id": "x"}],
        "deployments": [],
        "executor": "",
        "disk": 0,
        "role": "*",
        "maxLaunchDelaySeconds": 300,
    }
    assert minilm().fields == minilm(**more).fields


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cmd": "nginx", "container": None}, "no command of it starts TensorFlow Serving"),
        ({"cmd": None, "container": {"docker": {"image": "nginx"}}}, "neither its command nor its image"),
        ({"cmd": "tensorflow_model_server $(flags)"}, "only a shell understands '$(flags)"),
        ({"cmd": "tensorflow_model_server --model_config_file=/etc/m"}, "it serves what a file says (/etc/m)"),
        ({"cmd": "tensorflow_model_server --model_base_path=/elsewhere"}, "on a volume that a fleet file cannot name"),
        ({"cmd": "tensorflow_model_server --model_base_path=$WHERE"}, "nothing says what that is"),
        ({"cmd": "tensorflow_model_server"}, "nothing says where its model is"),
        ({"cmd": "tensorflow_model_server --model_base_path=m"}, "0 of the files that it fetches"),
        ({"labels": {"roadstead.dev/fleet": "x"}}, "is ours to set"),
    ],
)
def test_what_cannot_be_served_is_said(change: Json, why: str) -> None:
    """One app that is nothing for us keeps none of the others from being imported."""
    one = minilm(**change)
    assert one.template is None
    assert why in one.refused


@pytest.mark.parametrize(
    ("instances", "strategy", "expected"),
    [
        (3, {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}, (1, 0)),
        (3, {"minimumHealthCapacity": 1, "maximumOverCapacity": 0}, (1, 0)),
        (10, {"minimumHealthCapacity": 0.85, "maximumOverCapacity": 0.25}, (2, 1)),
        (2, {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}, (0, 2)),
        (3, {"minimumHealthCapacity": 0.9, "maximumOverCapacity": 0.1}, (1, 0)),
    ],
)
def test_shares_of_instances_become_numbers_as_marathon_rounds_them(
    instances: int, strategy: Json, expected: tuple[int, int]
) -> None:
    """Up for what must be well, down for what may be more, and one more where neither leaves any room."""
    one = minilm(instances=instances, upgradeStrategy=strategy)
    assert expected == (one.rollout.max_surge, one.rollout.max_unavailable)


_LEAVES = st.recursive(
    st.integers(1, 3) | st.text("ab", min_size=1, max_size=2),
    lambda inner: st.dictionaries(st.text("xyz", min_size=1, max_size=3), inner, min_size=1, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text("pqr", min_size=1, max_size=4), _LEAVES, max_size=4),
    st.sampled_from([(), ("container",), ("container", "docker"), ("networks", 0)]),
)
def test_nothing_goes_unsaid(more: Json, place: tuple[str | int, ...]) -> None:
    """Whatever else stands anywhere in an app is in the report, each field once, as lost."""
    document = json.loads(json.dumps(MINILM))
    before = {one.field for one in minilm().fields}
    target: Any = document
    for step in place:
        target = target[step]
    target |= more
    told = imported(document, OPTIONS).fields
    assert len({one.field for one in told}) == len(told)
    new = [one for one in told if one.field not in before]
    assert {Fate.LOST} >= {one.fate for one in new}
    prefix = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    for name in more:
        assert any(f"{one.field}.".startswith(f"{prefix}.{name}.".lstrip(".")) for one in new)
