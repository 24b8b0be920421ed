"""What is ordered becomes an app of Marathon, whole, or is refused with the reason."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from roadstead.model import (
    Constraint,
    GpuPart,
    GpuPartition,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    Secret,
    Spread,
    StopSpec,
    Template,
    WholeGpus,
)
from roadstead.spi.digest import version_digest
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead_backends.marathon import names
from roadstead_backends.marathon.app_options import AppOptions, HostMount, Network
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from roadstead_backends.marathon.messages import App, Wrapped
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.translate import app, stored
from tests.marathon_backend.orders import LAUNCH, order_of, template_with, templates

Json = dict[str, Any]

OPTIONS = MarathonOptions(urls=("https://h",), path="/models", gpu_attribute="gpu_model")
SETTINGS = Settings(features=frozenset({"gpu_resources"}), default_network_name="dcos")
PROCESSES = attrs.evolve(OPTIONS, containers=Containers.NONE)


def app_of(template: Template, *, options: MarathonOptions = OPTIONS, launch: Launch = LAUNCH) -> Json:
    """Return the app of a template's group."""
    return app(order_of(template, launch=launch), 1, options)


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """A Marathon that knows GPUs, and a network for containers."""
    with emulated(Plan(by_hand=True, settings=SETTINGS)) as running:
        yield running


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(templates())
def test_marathon_takes_every_app_and_gives_back_what_it_was_ordered_with(
    marathon: Emulated, template: Template
) -> None:
    """Key, owner, generation, template and rendering are read from what it stored."""
    order = order_of(template, generation=7)
    document = app(order, 0, OPTIONS)
    status, answer = marathon.ask("POST", "/v2/apps?force=true", document)
    assert 201 == status, answer
    _, found = marathon.ask("GET", f"/v2/apps{document['id']}")
    marathon.ask("DELETE", f"/v2/apps{document['id']}")
    read = stored(msgspec.convert(found, Wrapped).app)
    assert read is not None
    assert (order.key, "shop", "search", "0f1e2d", 7) == (
        read.key,
        read.fleet,
        read.owner,
        read.owner_id,
        read.generation,
    )
    assert template == read.template
    ours = {*names.group_labels(order), names.TEMPLATE, names.RENDERING}
    labels = {name: value for name, value in document["labels"].items() if name not in ours}
    rest = {key: value for key, value in document.items() if key not in ("instances", "labels")}
    assert {**rest, **({"labels": labels} if labels else {})} == json.loads(read.rendering)


def test_what_is_no_group_is_none_and_what_pretends_to_be_one_is_refused() -> None:
    """Apps of others have no such labels; a group that somebody wrote into is not taken for what it was."""
    assert stored(App(id="/others", labels={"owner": "me"})) is None
    labels = app_of(template_with())["labels"]
    with pytest.raises(ValueError, match="no number"):
        stored(App(id="/x", labels={**labels, names.GENERATION: "x"}))
    with pytest.raises(ValueError, match="canonical form"):
        stored(App(id="/x", labels={**labels, names.TEMPLATE: "{}"}))


def test_amounts_are_said_in_marathons_units_and_never_less_than_asked() -> None:
    """A fraction of a MiB is one."""
    resources = Resources(cpu=Cpus(1500), memory=Memory(2**20 + 1), disk=Memory(1), gpu=WholeGpus(count=2))
    found = app_of(template_with(resources=resources))
    assert (1.5, 2, 1, 2) == (found["cpus"], found["mem"], found["disk"], found["gpus"])


def test_constraints_are_patterns_of_whole_values() -> None:
    """Nothing in a value is taken for a part of the pattern."""
    placement = PlacementSpec(
        constraints=(
            Constraint(attribute="zone", operator=Operator.IN, values=("a.b", "c")),
            Constraint(attribute="hostname", operator=Operator.NOT_IN, values=("n1",)),
            Constraint(attribute="rack", operator=Operator.EXISTS),
            Constraint(attribute="rack", operator=Operator.MATCHES, values=("r[0-9]+",)),
        ),
        spread=Spread(by="hostname", max_per=2),
    )
    gpu = WholeGpus(count=1, models=("A100",))
    assert [
        ["@zone", "LIKE", "a\\.b|c"],
        ["@hostname", "UNLIKE", "n1"],
        ["rack", "LIKE", ".*"],
        ["rack", "LIKE", "r[0-9]+"],
        ["gpu_model", "LIKE", "A100"],
        ["@hostname", "MAX_PER", "2"],
    ] == app_of(template_with(placement=placement, resources=Resources(gpu=gpu)))["constraints"]


def test_a_preference_is_not_written_as_a_rule() -> None:
    """Marathon has only rules, and one more would keep replicas from being started."""
    assert "constraints" not in app_of(template_with(placement=PlacementSpec(spread=Spread(by="zone"))))


def test_a_lost_agent_is_given_up_and_a_server_ended_as_its_owner_says() -> None:
    """Where nobody of ours reaches it, what is in flight has its time after it was asked to end."""
    template = template_with(
        health=HealthSpec(node_lost_after=Duration(30_500)),
        stop=StopSpec(drain_within=Duration(20_000), kill_after=Duration(5_000)),
    )
    near, far = (app(order_of(template), 1, OPTIONS, reaches=reaches) for reaches in (True, False))
    assert {"inactiveAfterSeconds": 31, "expungeAfterSeconds": 31} == near["unreachableStrategy"]
    assert (5, 25) == (near["taskKillGracePeriodSeconds"], far["taskKillGracePeriodSeconds"])


@pytest.mark.parametrize(
    ("network", "key", "ports"),
    [
        (Network.HOST, None, [(None, None, 0), (None, None, 0)]),
        (Network.BRIDGE, "portMappings", [(8500, 0, None), (8501, 0, None)]),
        (Network.CONTAINER, "portMappings", [(8500, None, None), (8501, None, None)]),
    ],
)
def test_ports_are_named_on_every_network(
    network: Network, key: str | None, ports: list[tuple[int | None, ...]]
) -> None:
    """On the agent's own, Marathon chooses them; behind it, it chooses what stands for ours."""
    found = app_of(template_with(AppOptions(network=network)))
    listed = found["container"][key] if key is not None else found["portDefinitions"]
    assert ["grpc", "rest"] == [one["name"] for one in listed]
    assert ports == [(one.get("containerPort"), one.get("hostPort"), one.get("port")) for one in listed]


@pytest.mark.parametrize(
    ("template", "options", "why"),
    [
        (template_with(secrets=(Secret(name="TOKEN", ref="file:/t"),)), OPTIONS, "TOKEN cannot be kept secret"),
        (template_with(resources=Resources(gpu=GpuPart(share=GpuShare(500)))), OPTIONS, "a share of a GPU"),
        (template_with(resources=Resources(gpu=GpuPartition("1g.10gb"))), OPTIONS, "1g.10gb"),
        (
            template_with(resources=Resources(gpu=WholeGpus(count=1))),
            attrs.evolve(OPTIONS, containers=Containers.DOCKER),
            "Docker containers get no GPUs",
        ),
        (template_with(resources=Resources(gpu=WholeGpus(count=1, memory=Memory(1)))), OPTIONS, "how much memory"),
        (
            template_with(resources=Resources(gpu=WholeGpus(count=1, models=("A100",)))),
            attrs.evolve(OPTIONS, gpu_attribute=None),
            "gpu_attribute",
        ),
        (template_with(model=ModelSpec(name="m", source="pvc://m")), OPTIONS, "cannot be read from pvc"),
        (template_with(model=ModelSpec(name="m", source="https://h/m")), OPTIONS, "no archive"),
        (template_with(model=ModelSpec(name="m", source="s3://b/m", digest="0" * 64)), OPTIONS, "nobody can check"),
        (template_with(AppOptions(network=Network.BRIDGE)), PROCESSES, "without containers"),
        (
            template_with(AppOptions(host_mounts=(HostMount(host_path="/a", path="/b"),))),
            PROCESSES,
            "without containers",
        ),
    ],
)
def test_what_marathon_cannot_express_is_refused(template: Template, options: MarathonOptions, why: str) -> None:
    """With the reason, and never left out."""
    with pytest.raises(ValueError, match=why):
        app_of(template, options=options)


def test_a_runtime_that_fixes_its_ports_needs_a_network_of_its_own() -> None:
    """On the agent's, Marathon chooses them, and nobody guesses which argument says them."""
    launch = attrs.evolve(LAUNCH, args=("--port=$(GRPC_PORT)", "--rest=8501"))
    with pytest.raises(ValueError, match=r"sets port 8501 and does not ask for \$\(REST_PORT\)"):
        app_of(template_with(), launch=launch)
    assert app_of(template_with(AppOptions(network=Network.BRIDGE)), launch=launch)


def test_a_server_without_an_image_needs_agents_that_have_it() -> None:
    """Where containers are used, there is nothing to start."""
    launch = attrs.evolve(LAUNCH, image=None)
    with pytest.raises(ValueError, match=r"runtime\.image is not set"):
        app_of(template_with(), launch=launch)
    assert "container" not in app_of(template_with(), launch=launch, options=PROCESSES)


# ---- the command, run ----

SHOW = Launch(
    program=Program(executable="sh"),
    args=(
        "-c",
        'cat "$1/odd.txt"; printf "%s|" "$@" "$WHERE"',
        "sh",
        "$(CONFIG_DIR)",
        "--a=$(GRPC_PORT)",
        "--b=$(REST_PORT)",
        "it's $(HOST) $HOME",
    ),
    env=(("WHERE", "$(MODEL_DIR)/x"),),
    files=(ConfigFile("odd.txt", "'$(MODEL_DIR)' \"$HOME\" `id` \\n\n"),),
    grpc_port=1,
    rest_port=2,
)


def ran(template: Template, sandbox: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of a template as an agent does."""
    command = app_of(template, options=PROCESSES, launch=SHOW)["cmd"]
    environment = {**os.environ, "MESOS_SANDBOX": str(sandbox), "HOST": "127.0.0.7", "PORT0": "31000", "PORT1": "31001"}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        cwd=sandbox,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_hands_over_files_and_arguments_as_they_are(tmp_path: Path) -> None:
    """Only what the launch leaves open is filled in, with the agent's address and the ports that Marathon gave."""
    found = ran(template_with(model=ModelSpec(name="m", source="/my models")), tmp_path)
    assert (0, "") == (found.returncode, found.stderr)
    assert (
        f"'/my models' \"$HOME\" `id` \\n\n{tmp_path}/config|--a=31000|--b=31001|it's 127.0.0.7 $HOME|/my models/x|"
    ) == found.stdout


def test_a_server_starts_only_over_the_files_that_were_declared(tmp_path: Path) -> None:
    """By the digest that `roadstead model digest` prints; otherwise it says what it found and ends with 65."""
    version = tmp_path / "model" / "3"
    (version / "variables").mkdir(parents=True)
    (version / "saved model.pb").write_bytes(b"graph")
    (version / "variables" / "data").write_bytes(b"weights")
    digest = version_digest(version)
    template = template_with(model=ModelSpec(name="m", source=str(version.parent), version=3, digest=digest))
    assert 0 == ran(template, tmp_path).returncode
    (version / "variables" / "data").write_bytes(b"others")
    found = ran(template, tmp_path)
    assert (65, "") == (found.returncode, found.stdout)
    assert f"their digest is {version_digest(version)}" in found.stderr
