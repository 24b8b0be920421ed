"""What a fleet file says of plugins, and what plugins say of a fleet file."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from roadstead.config import FleetFileError, Problem, ProblemCode, fleet_schema, read_fleet
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import BackendPlugin, NoOptions, RuntimePlugin
from roadstead.units import Cpus, Duration, GpuShare, Memory
from tests.config.corpus import built_in
from tests.config.strangers import host_with

FILE = Path("/fleets/fleet.yaml")


class Colour(enum.Enum):
    """Words that an option may be."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen(kw_only=True)
class Login:
    """Options within options."""

    user: str
    token_file: Path | None = None


@attrs.frozen(kw_only=True)
class Everything:
    """An options class with a field of every type that a plugin may use."""

    url: str = attrs.field(metadata={"doc": "where it answers"})
    retries: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    verify: bool = True
    cpu: Cpus | None = None
    memory: Memory = Memory(1024)
    share: GpuShare = GpuShare(500)
    wait: Duration = Duration(1000)
    colour: Colour = Colour.RED
    login: Login | None = None
    folders: tuple[Path, ...] = (Path("data"),)
    labels: Mapping[str, str] = attrs.Factory(dict)


@attrs.frozen
class Niceness:
    """What one deployment can say to a backend."""

    nice: int = 0
    profile: Path | None = None


@attrs.frozen
class Unreadable:
    """Options with a field that YAML has no word for."""

    anything: complex = 0j


def nomad(options: type[Any] = Everything, deployment_options: type[Any] = NoOptions) -> BackendPlugin:
    """Return a stranger's backend."""
    return BackendPlugin(
        name="nomad", factory="acme:connect", options=options, deployment_options=deployment_options, summary="Nomad"
    )


def fleet_text(options: str, deployment: str = "{model: {source: m}}") -> str:
    """Return a fleet file with one cluster on that backend."""
    return (
        f"version: 1\nfleet: shop\nclusters: {{there: {{backend: nomad, options: {options}}}}}\n"
        f"deployments: {{a: {deployment}}}\n"
    )


def problems_of(text: str, host: PluginHost) -> tuple[Problem, ...]:
    """Return what is wrong with a fleet file."""
    with pytest.raises(FleetFileError) as caught:
        read_fleet(FILE, host, text=text)
    return caught.value.problems


def test_a_strangers_options_are_read_from_its_class() -> None:
    """Every type of field, defaults included, with paths made absolute beside the fleet file."""
    text = fleet_text(
        "{url: 'https://n', retries: 0, verify: false, cpu: 500m, memory: 2Gi, share: 250m, wait: 2s, colour: blue, "
        "login: {user: me, token_file: secret}, labels: {a: b}}"
    )
    expected = Everything(
        url="https://n",
        retries=0,
        verify=False,
        cpu=Cpus(500),
        memory=Memory(2 * 1024**3),
        share=GpuShare(250),
        wait=Duration(2000),
        colour=Colour.BLUE,
        login=Login(user="me", token_file=Path("/fleets/secret")),
        folders=(Path("/fleets/data"),),
        labels={"a": "b"},
    )
    assert expected == read_fleet(FILE, host_with(nomad()), text=text).clusters["there"].options


def test_required_options_are_missed_even_where_there_are_no_options() -> None:
    """A cluster without ``options`` lacks what its backend cannot do without."""
    text = fleet_text("{}").replace(", options: {}", "")
    (problem,) = problems_of(text, host_with(nomad()))
    assert (ProblemCode.MISSING_KEY, "clusters.there.options.url") == (problem.code, problem.where)
    assert "add `url:`: where it answers" == problem.hint


def test_what_a_plugins_class_refuses_is_a_problem() -> None:
    """A validator of the options class speaks at the place of the options."""
    (problem,) = problems_of(fleet_text("{url: u, retries: -1}"), host_with(nomad()))
    assert ProblemCode.FORM is problem.code
    assert "clusters.there.options" == problem.where
    assert "'retries' must be >= 0: -1" in problem.what


def test_options_that_no_file_could_say_make_the_plugin_broken_where_it_is_named() -> None:
    """The plugin's distribution is named; a fleet that does not name it is not concerned."""
    host = host_with(nomad(options=Unreadable))
    (problem,) = problems_of(fleet_text("{}"), host)
    assert ProblemCode.PLUGIN is problem.code
    assert "acme 1.0 (acme.plugin)" in problem.hint
    other = fleet_text("{}").replace("nomad", "local")
    assert "shop" == read_fleet(FILE, host, text=other).name


def test_a_broken_plugin_is_named_with_the_missing_one() -> None:
    """What is missing may be what could not be loaded: the hint says so."""
    host = built_in()
    broken = SimpleNamespace(roadstead_backends=hookimpl(specname="roadstead_backends")(lambda: ["not a record"]))
    host.register(broken, Provenance(distribution="acme", version="1.0", module="acme.plugin"))
    (problem,) = problems_of(fleet_text("{}"), host)
    assert ProblemCode.PLUGIN is problem.code
    assert "acme 1.0 (acme.plugin)" in problem.hint
    assert "installed: kubernetes, local, marathon, simulated" in problem.hint


def test_two_plugins_of_one_name_are_both_named() -> None:
    """Nobody chooses between two distributions in silence."""
    host = host_with(nomad())
    again = SimpleNamespace(roadstead_backends=hookimpl(specname="roadstead_backends")(lambda: [nomad()]))
    host.register(again, Provenance(distribution="copy", version="2.0", module="copy.plugin"))
    (problem,) = problems_of(fleet_text("{}"), host)
    assert "acme 1.0 (acme.plugin) and copy 2.0 (copy.plugin)" in problem.what


def test_options_for_one_backend_reach_its_targets_as_canonical_json() -> None:
    """Only the targets on that backend, only what is not the default, paths absolute."""
    host = host_with(nomad(options=NoOptions, deployment_options=Niceness))
    deployment = (
        "{model: {source: m}, clusters: [there, here], backend_options: {nomad: {nice: 5, profile: p}, local: {}}}"
    )
    text = fleet_text("{}", deployment).replace("clusters: {there", "clusters: {here: {backend: local}, there", 1)
    there, here = read_fleet(FILE, host, text=text).deployments["a"].targets
    assert '{"nice":5,"profile":"/fleets/p"}' == there.template.backend_options
    assert "" == here.template.backend_options
    same = text.replace("nice: 5, profile: p", "nice: 0")
    assert "" == read_fleet(FILE, host, text=same).deployments["a"].targets[0].template.backend_options


def test_a_runtime_that_cannot_be_loaded_is_a_problem_where_it_is_named() -> None:
    """Importing happens when a fleet names the runtime, and what goes wrong then is told like the rest."""
    gone = RuntimePlugin(name="gone", factory="no_such_module:Runtime", engines=("e",), formats=("f",), summary="gone")
    text = fleet_text("{}", "{model: {source: m, format: f}, runtime: {name: gone}}").replace("nomad", "local")
    (problem,) = problems_of(text, host_with(runtimes=(gone,)))
    assert (ProblemCode.PLUGIN, "deployments.a.runtime") == (problem.code, problem.where)


def test_a_missing_default_plugin_is_told_of_too() -> None:
    """What our own defaults name may be what is not installed; it is told once for each deployment, nothing follows."""
    host = PluginHost()
    bare = SimpleNamespace(
        roadstead_backends=hookimpl(specname="roadstead_backends")(lambda: [nomad(options=NoOptions)])
    )
    host.register(bare, Provenance(distribution="acme", version="1.0", module="acme.plugin"))
    assert [
        "deployments.a.place: there is no policy 'spread'",
        "deployments.a.runtime.name: there is no runtime 'tf_serving'",
    ] == sorted(f"{problem.where}: {problem.what}" for problem in problems_of(fleet_text("{}"), host))


def test_the_first_engine_of_a_runtime_is_its_default() -> None:
    """Without ``engine`` a deployment runs on the one that its runtime names first."""
    text = fleet_text("{}", "{model: {source: m}, runtime: {name: simulated}}").replace("nomad", "local")
    fleet = read_fleet(FILE, built_in(), text=text)
    assert "simulated" == fleet.deployments["a"].targets[0].template.runtime.engine


def test_the_schema_has_the_options_of_what_is_installed() -> None:
    """An editor completes the keys of a stranger's backend once the schema is made on that machine."""
    cases = fleet_schema(host_with(nomad()))["properties"]["clusters"]["additionalProperties"]["allOf"]
    then = next(case["then"] for case in cases if case["if"]["properties"]["backend"] == {"const": "nomad"})
    assert "where it answers" == then["properties"]["options"]["properties"]["url"]["description"]


RELOADING = RuntimePlugin(
    name="swift",
    factory="roadstead_backends.simulated.network:SimulatedRuntime",
    engines=("still", "quick"),
    formats=("f",),
    reloads=("quick",),
    summary="one engine that reloads, and one that does not",
)


def test_only_an_engine_that_can_reload_is_told_to() -> None:
    """The runtime's record says which of its engines can; the first one is meant where none is named."""
    host = host_with(runtimes=(RELOADING,))
    keys = "{model: {source: m, format: f}, rollout: {strategy: reload}, runtime: {name: swift, engine: ENGINE}}"
    text = fleet_text("{}", keys).replace("nomad", "local")
    for engine in ("still", "null"):
        problem, *_ = problems_of(text.replace("ENGINE", engine), host)
        assert (ProblemCode.COMBINATION, "deployments.a.rollout.strategy") == (problem.code, problem.where)
        assert "engine 'still' of runtime 'swift' cannot load another version in place" == problem.what
        assert "use strategy auto, or engine quick" == problem.hint
    found = problems_of(text.replace("ENGINE", "quick"), host)
    assert [] == [problem for problem in found if problem.where.endswith("strategy")]
