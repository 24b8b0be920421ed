"""Reading good fleet files: what each way of writing means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadstead.config import FleetFileError, ProblemCode, read_fleet
from roadstead.config.keys import fleet_table
from roadstead.config.shapes import ByKind, Later, Maybe, Named, Shape, Table
from roadstead.model import (
    Constraint,
    Deployment,
    ExcessAction,
    ExcessSpec,
    Fleet,
    GpuPart,
    GpuPartition,
    ModelSpec,
    OnChange,
    OnDrift,
    Operator,
    Quota,
    Resources,
    RolloutSpec,
    Strategy,
    Template,
    Tls,
    Variable,
    Via,
    WholeGpus,
)
from roadstead.template import target
from roadstead.units import Cpus, Duration, GpuShare, Memory
from tests.config.corpus import HERE, built_in

MINIMAL = """\
version: 1
fleet: shop
clusters:
  here: {backend: local}
deployments:
  minilm:
    model: {source: models/minilm}
"""
HOST = built_in()

Reads = Callable[[str], Fleet]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    """Reads a text as if it stood in a file of ``tmp_path``."""
    return lambda text: read_fleet(tmp_path / "fleet.yaml", HOST, text=text)


def with_keys(keys: str) -> str:
    """Return the smallest fleet file with more keys, in flow style, for its deployment."""
    return MINIMAL + "".join(f"    {line}\n" for line in keys.splitlines())


def test_what_a_file_does_not_say_is_the_models_default(reads: Reads, tmp_path: Path) -> None:
    """The smallest file gives the values that the model has by default, so that writing one out changes no revision."""
    template = Template(model=ModelSpec(name="minilm", source=str(tmp_path / "models/minilm")))
    expected = Deployment(name="minilm", owner="default", targets=(target("here", template),))
    assert expected == reads(MINIMAL).deployments["minilm"]


def test_writing_a_default_out_changes_nothing(reads: Reads) -> None:
    """Every key with its default spelt out gives the same fleet, revisions included."""
    written = with_keys(
        """\
runtime: {name: tf_serving, engine: embedded, image: null, batching: {timeout: 5ms, threads: 1}, args: []}
resources: {cpu: 1000m, memory: 2048Mi, disk: 0, gpu: null}
env: {}
secrets: {}
health: {start_within: 120s, every: 5000ms, failures: 3, node_lost_after: 30s, canary: null}
stop: {drain_within: 30s, kill_after: 5s}
placement: {constraints: [], spread: null}
backend_options: {}
owner: default
clusters: here
rollout: {strategy: auto, history: 2}
unreachable: {fail_over_after: 300s}
on_excess: {cpu: warn, memory: restart, gpu_memory: warn, after: 1m}
drift: revert
autoscaling: null
gateway: null
adopt: null
"""
    )
    assert reads(MINIMAL) == reads(written)


def test_weights_and_other_clusters_arrive_with_the_deployment(reads: Reads) -> None:
    """A weight stands with its cluster; all clusters that are not named are known as places to send it to."""
    text = MINIMAL.replace("backend: local}", "backend: local}\n  there: {backend: local}\n  yonder: {backend: local}")
    fleet = reads(f"{text.rstrip()}\n    clusters: {{there: 30, here: 70}}\n    unreachable: {{fail_over_after: 1m}}\n")
    (deployment,) = fleet.deployments.values()
    assert ("there: 30", "here: 70") == deployment.said_clusters
    assert ["yonder"] == [target.cluster for target in deployment.elsewhere]
    assert "1m" == str(deployment.fail_over_after)


def test_the_file_with_every_key_reads_as_it_says() -> None:
    """A few values of each part of the file arrive where they belong."""
    fleet = read_fleet(HERE / "good/every-key.yaml", HOST)
    deployment = fleet.deployments["minilm"]
    here, there = deployment.targets
    assert (
        Resources(
            cpu=Cpus(500),
            memory=Memory(1536 * 1024**2),
            disk=Memory(10**9),
            gpu=WholeGpus(count=1, models=("A100", "H100"), memory=Memory(20 * 1024**3)),
        )
        == here.template.resources
    )
    assert ("s3://bucket/models/minilm", "sentences") == (there.template.model.source, there.template.model.name)
    assert (Variable("LEVEL", "debug"), Variable("PORT", "8080"), Variable("SHARED", "yes")) == here.template.env
    assert ("KEY", "OTHER", "TOKEN") == tuple(secret.name for secret in here.template.secrets)
    canary = '{"instances":[{"attention_mask":[1,1],"input_ids":[101,102]}],"signature_name":"serving_default"}'
    assert canary == here.template.health.canary
    assert Constraint(attribute="zone", operator=Operator.IN, values=("a", "b")) in here.template.placement.constraints
    assert 4 == len(here.template.placement.constraints)
    assert (
        RolloutSpec(
            strategy=Strategy.ROLLING,
            max_surge=2,
            max_unavailable=1,
            progress_deadline=Duration(300_000),
            auto_rollback=False,
            history=5,
        )
        == deployment.rollout
    )
    assert OnDrift.REPORT is deployment.on_drift
    assert Quota(cpu=Cpus(64_000), memory=Memory(256 * 1024**3), gpu=8000) == fleet.quotas["search"]
    assert Quota() == fleet.quotas["free"]
    assert Via(gateway="edge", port=20001) == deployment.via
    assert (
        ExcessSpec(cpu=ExcessAction.RESTART, memory=ExcessAction.EVICT, after=Duration(90_000)) == deployment.on_excess
    )
    edge = fleet.gateways["edge"]
    assert ("envoy", "127.0.0.2", 20000, 20009) == (edge.kind, edge.address, edge.first_port, edge.last_port)
    assert Tls(certificate=str(HERE / "good/tls/cert.pem"), key="/etc/tls/key.pem") == edge.tls
    assert (OnChange.STAGE, OnChange.APPLY, "[::1]:7071") == (
        fleet.daemon.on_change,
        fleet.daemon.on_removal,
        fleet.daemon.http,
    )


def test_the_file_with_every_key_has_every_key() -> None:
    """No key that this version has is missing from the example, so that each is read by a test."""
    document = yaml.safe_load((HERE / "good/every-key.yaml").read_text(encoding="utf-8"))
    assert document.pop("defaults")
    assert ["defaults"] == list(_unused(fleet_table(HOST), [document], ()))


def _unused(shape: Shape, written: list[Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yield the keys that stand in none of the ``written`` values of ``shape``."""
    mappings = [one for one in written if isinstance(one, dict)]
    match shape:
        case ByKind() if mappings and shape.entries is not None:
            yield from _unused(shape.entries, mappings, path)
        case Maybe():
            yield from _unused(shape.shape, written, path)
        case Named():
            yield from _unused(shape.item, [value for one in mappings for value in one.values()], (*path, shape.label))
        case Table():
            for key in shape.keys:
                given = [one[key.name] for one in mappings if key.name in one]
                if given:
                    yield from _unused(key.shape, given, (*path, key.name))
                elif not isinstance(key.shape, Later):
                    yield ".".join((*path, key.name))


def test_paths_are_relative_to_the_file_and_urls_stay(tmp_path: Path) -> None:
    """A model's path, the roots of a cluster and the state directory start at the file's folder, whoever reads it."""
    folder = tmp_path / "configs"
    folder.mkdir()
    file = folder / "fleet.yaml"
    file.write_text(
        MINIMAL.replace("{backend: local}", "{backend: local, options: {model_roots: [../models, /srv]}}").replace(
            "models/minilm", "../models/minilm"
        )
        + "  remote: {model: {source: 'https://example.org/../m'}}\ndaemon: {state: ../state}\n",
        encoding="utf-8",
    )
    fleet = read_fleet(file, HOST)
    assert str(tmp_path / "models/minilm") == fleet.deployments["minilm"].targets[0].template.model.source
    assert "https://example.org/../m" == fleet.deployments["remote"].targets[0].template.model.source
    options: Any = fleet.clusters["here"].options
    assert (tmp_path / "models", Path("/srv")) == options.model_roots
    assert str(tmp_path / "state") == fleet.daemon.state


def test_an_options_default_path_is_the_files_folder(reads: Reads, tmp_path: Path) -> None:
    """``model_roots: [.]`` is the default, and means the same written or not."""
    options: Any = reads(MINIMAL).clusters["here"].options
    assert (tmp_path,) == options.model_roots


def test_defaults_merge_key_by_key_and_the_deployments_own_value_wins(reads: Reads) -> None:
    """Mappings merge at every depth; lists, GPU requests and null replace."""
    fleet = reads(
        """\
version: 1
fleet: shop
clusters: {here: {backend: local}}
defaults:
  resources: {cpu: 2, memory: 3Gi, gpu: {count: 2}}
  runtime: {args: [--a=1, --b=2], batching: {threads: 4, timeout: 9ms}}
  env: {A: "1", B: "2"}
deployments:
  own:
    model: {source: m}
    resources: {cpu: 1, gpu: {share: 500m}}
    runtime: {args: [--c=3], batching: {timeout: 1ms}}
    env: {B: "3"}
  bare:
    model: {source: m}
    resources: {gpu: null}
    runtime: {batching: null}
"""
    )
    own = fleet.deployments["own"].targets[0].template
    bare = fleet.deployments["bare"].targets[0].template
    assert Resources(cpu=Cpus(1000), memory=Memory(3 * 1024**3), gpu=GpuPart(share=GpuShare(500))) == own.resources
    assert ("--c=3",) == own.runtime.args
    assert own.runtime.batching is not None
    assert (4, 1) == (own.runtime.batching.threads, own.runtime.batching.timeout.ms)
    assert (Variable("A", "1"), Variable("B", "3")) == own.env
    assert (None, None) == (bare.resources.gpu, bare.runtime.batching)


def test_a_model_may_be_the_same_for_all_by_default(reads: Reads) -> None:
    """A required key may come from ``defaults``."""
    text = MINIMAL.replace("deployments:", "defaults: {model: {source: models/minilm}}\ndeployments:").replace(
        "    model: {source: models/minilm}\n", "    replicas: 2\n"
    )
    assert 2 == reads(text).deployments["minilm"].replicas


def test_clusters_are_taken_in_the_order_of_the_list(reads: Reads) -> None:
    """The targets of a deployment are its clusters, the preferred one first, each with its own source."""
    text = with_keys("clusters: [there, here]").replace("local}", "local}\n  there: {backend: simulated}")
    text = text.replace("source: models/minilm", "source: {here: a, there: s3://b/c}")
    targets = reads(text).deployments["minilm"].targets
    assert ("there", "here") == tuple(one.cluster for one in targets)
    assert "s3://b/c" == targets[0].template.model.source


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        ("{count: 2}", WholeGpus(count=2)),
        ("{count: 1, model: [B, A, B]}", WholeGpus(count=1, models=("A", "B"))),
        ("{share: 0.5, memory: 10Gi}", GpuPart(share=GpuShare(500), memory=Memory(10 * 1024**3))),
        ("{partition: 1g.10gb}", GpuPartition("1g.10gb")),
    ],
)
def test_a_gpu_is_whole_shared_or_a_partition(reads: Reads, gpu: str, expected: object) -> None:
    """The three ways to ask for a GPU are told apart by their first key."""
    template = reads(with_keys(f"resources: {{gpu: {gpu}}}")).deployments["minilm"].targets[0].template
    assert expected == template.resources.gpu


def test_an_owner_needs_no_quota_where_there_are_none(reads: Reads) -> None:
    """Without ``quotas`` nothing can escape its quota: any owner will do, and ``default`` where none is named."""
    assert "search" == reads(with_keys("owner: search")).deployments["minilm"].owner


def test_the_default_owner_may_have_a_quota(reads: Reads) -> None:
    """Where ``default`` stands in ``quotas``, a deployment without an owner counts against it."""
    text = MINIMAL.replace("deployments:", "quotas: {default: {cpu: 4}}\ndeployments:")
    assert "default" == reads(text).deployments["minilm"].owner


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """Some editors write one, and YAML allows it; positions count from behind it."""
    file = tmp_path / "fleet.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert "shop" == read_fleet(file, HOST).name
    assert "shop" == read_fleet(file, HOST, text="\ufeff" + MINIMAL).name


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_are_line_ends(reads: Reads, line_end: str) -> None:
    """A file from another system reads the same, and its problems have the same lines."""
    assert reads(MINIMAL) == reads(MINIMAL.replace("\n", line_end))
    with pytest.raises(FleetFileError) as caught:
        reads(with_keys("colour: blue").replace("\n", line_end))
    assert (8, 5) == (caught.value.problems[0].line, caught.value.problems[0].column)


def test_an_alias_stands_for_the_whole_value(reads: Reads) -> None:
    """What is anchored once can be used again."""
    text = with_keys("env: &shared {A: b}").replace("models/minilm}", "models/minilm}") + (
        "  other: {model: {source: m}, env: *shared}\n"
    )
    deployments = reads(text).deployments
    assert deployments["minilm"].targets[0].template.env == deployments["other"].targets[0].template.env


def test_order_that_means_nothing_makes_no_new_revision(reads: Reads) -> None:
    """Variables, constraints and their values can be sorted by hand without restarting anything."""
    one = with_keys(
        "env: {A: a, B: b}\nplacement: {constraints: [{attribute: z, in: [x, w]}, {attribute: a, exists: true}]}"
    )
    two = with_keys(
        "env: {B: b, A: a}\nplacement: {constraints: [{attribute: a, exists: true}, {attribute: z, in: [w, x]}]}"
    )
    assert reads(one) == reads(two)


def test_where_replicas_reload_another_version_is_the_same_revision(reads: Reads) -> None:
    """The same replicas load it; otherwise, and for any other change, there are new ones."""
    digest = "ab" * 32

    def revision(strategy: str, keys: str = "version: 1", others: str = "") -> str:
        text = with_keys(f"rollout: {{strategy: {strategy}}}\n{others}").replace("minilm}", f"minilm, {keys}}}")
        return reads(text).deployments["minilm"].targets[0].revision

    assert revision("reload") == revision("reload", f"version: 2, digest: {digest}")
    assert revision("auto") != revision("auto", "version: 2")
    assert revision("auto") == revision("recreate")
    assert revision("reload") != revision("auto")
    assert revision("reload") != revision("reload", others="resources: {cpu: 2}")


def test_where_replicas_reload_the_version_to_load_is_in_the_template(reads: Reads) -> None:
    """The revision leaves it out, and nothing else does."""
    text = with_keys("rollout: {strategy: reload}").replace("minilm}", "minilm, version: 7}")
    assert 7 == reads(text).deployments["minilm"].targets[0].template.model.version


def test_a_file_that_is_not_there_is_a_problem_like_any_other(tmp_path: Path) -> None:
    """The same error type, with the path and the reason, for missing files and for folders."""
    for path, reason in ((tmp_path / "none.yaml", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(FleetFileError) as caught:
            read_fleet(path, HOST)
        (problem,) = caught.value.problems
        assert (ProblemCode.UNREADABLE, f"cannot be read: {reason}") == (problem.code, problem.what)


def test_a_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Nothing is parsed of what cannot be a fleet file."""
    file = tmp_path / "fleet.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(17 * 1024**2)
    with pytest.raises(FleetFileError) as caught:
        read_fleet(file, HOST)
    assert [ProblemCode.LIMIT] == [problem.code for problem in caught.value.problems]


def test_the_error_ends_the_program_as_bad_data_does() -> None:
    """Exit code 65 and a summary of one line, for those who do not want the whole list."""
    with pytest.raises(FleetFileError) as caught:
        read_fleet(Path("f.yaml"), HOST, text="")
    assert (65, "RS200", "f.yaml: 1 problem") == (caught.value.exit_code, caught.value.code, caught.value.summary)
