"""What holds for any file: a fleet or problems, never anything else, and the same fleet however it is written."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.config import FleetFileError, Problem, fleet_schema, read_fleet
from roadstead.config.amounts import CPU, DURATION, GPUS, MEMORY
from roadstead.config.keys import fleet_table
from roadstead.config.nodes import Scalar
from roadstead.config.scalars import Kind, meaning
from roadstead.config.shapes import Amount, ByKind, Forms, ListOf, Maybe, Named, Shape, Table
from roadstead.config.source import Source, Spot
from roadstead.model import Fleet
from roadstead.units import Cpus, Duration, Memory, UnitError
from tests.config.corpus import BAD, HERE, built_in

HOST = built_in()
FILE = Path("/fleets/fleet.yaml")
VALIDATOR = jsonschema.Draft7Validator(fleet_schema(HOST))
GOOD_LINES = (HERE / "good/every-key.yaml").read_text(encoding="utf-8").splitlines()


def outcome(text: str) -> Fleet | tuple[Problem, ...]:
    """Return what reading ``text`` comes to; anything but a fleet or problems is raised, and fails the test."""
    try:
        return read_fleet(FILE, HOST, text=text)
    except FleetFileError as error:
        return error.problems


def check_problems(text: str, found: Fleet | tuple[Problem, ...]) -> None:
    """Check that problems point into the file, stand in its order, end in a hint, and are each told once."""
    if isinstance(found, Fleet):
        return
    assert found
    lines = Source("f", text.removeprefix("\ufeff")).lines
    for problem in found:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.what
        assert problem.hint
        assert all(line.isprintable() for line in str(problem).split("\n"))
    places = [(problem.line, problem.column) for problem in found]
    assert sorted(places) == places
    assert len({(place, problem.code, problem.what) for place, problem in zip(places, found, strict=True)}) == len(
        found
    )


# ---- any file ----


@given(st.binary(max_size=200))
def test_any_bytes_are_a_fleet_or_problems(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever a disk holds, reading it ends in our own words."""
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    with contextlib.suppress(FleetFileError):
        read_fleet(file, HOST)


_YAML_SIGNS = st.sampled_from(
    [*"-:?,[]{}#&*!|>'\"%@`~=<\n \t\\", "<<", ": ", "- ", "\n  ", "a", "1", "on", "&a ", "*a ", "---\n"]
)


@given(st.lists(_YAML_SIGNS | st.characters(), max_size=60).map("".join))
def test_any_text_is_a_fleet_or_problems(text: str) -> None:
    """Text that is full of YAML's own signs too."""
    check_problems(text, outcome(text))


def keys_of(shape: Shape) -> set[str]:
    """Return every key that stands anywhere in ``shape``."""
    match shape:
        case Table():
            return {key.name for key in shape.keys}.union(*(keys_of(key.shape) for key in shape.keys), set())
        case Maybe():
            return keys_of(shape.shape)
        case Named() | ListOf():
            return keys_of(shape.item)
        case ByKind():
            return set[str]().union(*(keys_of(one) for one in shape.shapes))
        case Forms():
            return set[str]().union(*(keys_of(form.table) for form in shape.forms))
        case _:
            return set()


_KEYS = st.sampled_from(sorted(keys_of(fleet_table(HOST)) | {"here", "search", "minilm"})) | st.text(max_size=5)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["here", "local", "5s", "500m", "2Gi", "8GB", "models/m", "spread", "~", "a b", "kubernetes", "1.5"]
    ),
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(_TREES, st.booleans())
def test_any_tree_is_a_fleet_or_problems(tree: Any, flow: bool) -> None:
    """Mappings and lists of known keys and odd values, at any place."""
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    check_problems(text, outcome(text))


@given(
    st.dictionaries(_KEYS, _TREES, max_size=6), st.sampled_from(["deployment", "defaults", "cluster", "daemon", "all"])
)
def test_any_tree_in_a_good_file_is_a_fleet_or_problems(tree: dict[str, Any], where: str) -> None:
    """A known frame around it leads reading to every kind of value."""
    document: dict[str, Any] = {
        "version": 1,
        "fleet": "shop",
        "clusters": {"here": {"backend": "local"}},
        "deployments": {"minilm": {"model": {"source": "m"}}},
    }
    places: dict[str, dict[str, Any]] = {
        "deployment": document["deployments"]["minilm"],
        "defaults": document.setdefault("defaults", {}),
        "cluster": document["clusters"]["here"],
        "daemon": document.setdefault("daemon", {}),
        "all": document,
    }
    places[where].update(tree)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    check_problems(text, outcome(text))


_EDITS = st.lists(
    st.tuples(
        st.integers(0, len(GOOD_LINES) - 1),
        st.sampled_from(["drop", "double", "indent", "dedent", "value", "cut", "tab"]),
        st.sampled_from(
            ["", "on", "-1", "5", "[]", "{}", "x: y", "*a", "null", "99999999999", '"', "here", "2Gi", "1m"]
        ),
    ),
    min_size=1,
    max_size=4,
)


def edited(line: str, how: str, what: str) -> list[str]:
    """Return the lines that a slip of the hand makes of one."""
    return {
        "drop": [],
        "double": [line, line],
        "indent": ["  " + line],
        "dedent": [line.removeprefix("  ")],
        "value": [line.partition(":")[0] + ": " + what],
        "cut": [line[: len(line) // 2]],
        "tab": ["\t" + line],
    }[how]


@given(_EDITS)
@settings(max_examples=300)
def test_an_edited_good_file_is_a_fleet_or_problems(edits: list[tuple[int, str, str]]) -> None:
    """The file with every key after a few slips of the hand: this is what people do."""
    lines = [[line] for line in GOOD_LINES]
    for number, how, what in edits:
        lines[number] = [new for line in lines[number] for new in edited(line, how, what)]
    text = "\n".join(line for group in lines for line in group)
    found = outcome(text)
    check_problems(text, found)
    if isinstance(found, Fleet):
        document = json.loads(json.dumps(yaml.safe_load(text)))
        assert [] == [error.message for error in VALIDATOR.iter_errors(document)]


@given(st.sampled_from(BAD), st.data())
def test_a_bad_file_cut_anywhere_is_a_fleet_or_problems(path: Path, data: st.DataObject) -> None:
    """A half-saved file is one that ends too early."""
    text = path.read_bytes().decode("utf-8", errors="replace")[:5000]
    cut = text[: data.draw(st.integers(0, len(text)))]
    check_problems(cut, outcome(cut))


# ---- good files ----


def said_alike(text: str) -> bool:
    """Return whether every reader takes ``text`` for text without quotes; PyYAML leaves them away more often."""
    return (
        meaning(Scalar(Spot(1, 1), text, plain=True)).kind is Kind.TEXT and text[:1] not in "\u201c\u2018\u00ab\u00bb"
    )


_NAMES = st.from_regex("[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(said_alike)
_LINES = st.text(
    st.characters(blacklist_categories=["Cc", "Cs", "Cn", "Zl", "Zp"], blacklist_characters="\ufeff"), max_size=10
).filter(lambda text: not text or said_alike(text))
_AMOUNTS = st.builds(Cpus, st.integers(1, 10_000)).map(str)
_MEMORY = st.builds(Memory, st.integers(2**20, 2**40)).map(str)
_TIMES = st.builds(Duration, st.integers(5_000, 3_600_000)).map(str)
_GPUS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"count": st.integers(1, 8)}, optional={"model": st.lists(_NAMES, max_size=2), "memory": _MEMORY}
    ),
    st.fixed_dictionaries({"share": st.integers(1, 1000).map("{}m".format)}, optional={"memory": _MEMORY}),
    st.fixed_dictionaries({"partition": st.just("1g.10gb")}),
)
_CONSTRAINTS = st.one_of(
    st.fixed_dictionaries({"attribute": _NAMES, "in": st.lists(_LINES, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"attribute": _NAMES, "exists": st.sampled_from([True])}),
    st.fixed_dictionaries({"attribute": _NAMES, "matches": st.just("a.*")}),
)
_VARIABLES = st.from_regex("[A-Z_][A-Z0-9_]{0,8}", fullmatch=True)
_DEPLOYMENTS = st.fixed_dictionaries(
    {"model": st.fixed_dictionaries({"source": _NAMES}, optional={"version": st.integers(0, 99), "name": _NAMES})},
    optional={
        "replicas": st.integers(0, 9),
        "priority": st.integers(-9, 9),
        "place": st.sampled_from(["spread", "binpack"]),
        "env": st.dictionaries(_VARIABLES, _LINES, max_size=3),
        "resources": st.fixed_dictionaries({}, optional={"cpu": _AMOUNTS, "memory": _MEMORY, "gpu": _GPUS}),
        "runtime": st.fixed_dictionaries(
            {},
            optional={
                "args": st.lists(_NAMES.map("--flag={}".format), max_size=2),
                "batching": st.none() | st.fixed_dictionaries({}, optional={"threads": st.integers(1, 9)}),
            },
        ),
        "health": st.fixed_dictionaries({}, optional={"start_within": _TIMES, "failures": st.integers(1, 9)}),
        "placement": st.fixed_dictionaries({}, optional={"constraints": st.lists(_CONSTRAINTS, max_size=3)}),
        "rollout": st.fixed_dictionaries({}, optional={"max_surge": st.integers(1, 3), "history": st.integers(0, 5)}),
    },
)
_FLEETS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "fleet": st.just("shop"),
        "clusters": st.just({"here": {"backend": "local"}}),
        "deployments": st.dictionaries(_NAMES, _DEPLOYMENTS, max_size=3),
    }
)


def in_reverse(value: Any) -> Any:
    """Return ``value`` with the keys of every mapping in reverse order."""
    if isinstance(value, dict):
        return {key: in_reverse(value[key]) for key in reversed(value)}
    return [in_reverse(one) for one in value] if isinstance(value, list) else value


@given(_FLEETS)
def test_a_fleet_is_the_same_however_it_is_written(document: dict[str, Any]) -> None:
    """Block style, flow style, JSON and any order of keys say the same."""
    block = outcome(yaml.safe_dump(document, allow_unicode=True))
    assert isinstance(block, Fleet)
    assert block == outcome(yaml.safe_dump(document, default_flow_style=True, allow_unicode=True, width=10**6))
    assert block == outcome(json.dumps(document, ensure_ascii=False))
    assert block == outcome(yaml.safe_dump(in_reverse(document), sort_keys=False, allow_unicode=True))


@given(_FLEETS)
def test_what_is_read_fits_the_schema(document: dict[str, Any]) -> None:
    """The schema never warns of what reading accepts."""
    assert isinstance(outcome(yaml.safe_dump(document, allow_unicode=True)), Fleet)
    assert [] == [error.message for error in VALIDATOR.iter_errors(document)]


def split(value: Any, data: st.DataObject) -> tuple[Any, Any]:
    """Return two mappings that make ``value`` when the second is merged under the first."""
    own, default = {}, {}
    for key, inner in value.items():
        if isinstance(inner, dict) and key in {
            "model",
            "resources",
            "runtime",
            "env",
            "health",
            "placement",
            "rollout",
        }:
            own[key], default[key] = split(inner, data)
        elif data.draw(st.booleans()):
            own[key] = inner
        else:
            default[key] = inner
    return own, default


@given(_DEPLOYMENTS, st.data())
def test_defaults_are_as_if_they_had_been_written_in_the_deployment(
    deployment: dict[str, Any], data: st.DataObject
) -> None:
    """However the keys are dealt between a deployment and ``defaults``, the deployment is the same."""
    frame = {"version": 1, "fleet": "shop", "clusters": {"here": {"backend": "local"}}}
    own, default = split(deployment, data)
    whole = outcome(yaml.safe_dump({**frame, "deployments": {"a": deployment}}, allow_unicode=True))
    dealt = outcome(yaml.safe_dump({**frame, "deployments": {"a": own}, "defaults": default}, allow_unicode=True))
    assert isinstance(whole, Fleet)
    assert whole == dealt


# ---- scalars and amounts ----

_PLAIN = st.one_of(
    st.text("0123456789_.:+-eExobTtinfaNAyYOoFf ~=", min_size=1, max_size=10),
    st.text(max_size=8),
    st.sampled_from(
        ["yes", "No", "ON", "off", "true", "False", "null", "~", "0o17", "017", "1:30", "2026-11-22", ".inf"]
    ),
)


@given(_PLAIN)
@settings(max_examples=500)
def test_a_plain_scalar_means_what_other_readers_make_of_it(text: str) -> None:
    """Where we do not call it ambiguous, PyYAML makes the same of it."""
    try:
        loaded = yaml.safe_load(f"- {text}\n")
    except (yaml.YAMLError, ValueError, OverflowError):
        return
    node = yaml.compose(f"- {text}\n", Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.SequenceNode) or not isinstance(node.value[0], yaml.ScalarNode) or node.value[0].style:
        return
    (value,) = loaded
    scalar = Scalar(Spot(1, 1), node.value[0].value, plain=True)
    match meaning(scalar).kind:
        case Kind.TEXT:
            assert scalar.text == value
        case Kind.NUMBER:
            assert not isinstance(value, (str, bool))
            assert float(scalar.text) == value
        case Kind.BOOLEAN:
            assert isinstance(value, bool)
        case Kind.NOTHING:
            assert value is None
        case Kind.AMBIGUOUS:
            pass


@given(
    st.sampled_from([CPU, MEMORY, DURATION, GPUS]),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2})?[A-Za-z]{0,3}", fullmatch=True),
)
@settings(max_examples=300)
def test_an_editor_accepts_every_amount_that_reading_accepts(shape: Amount, text: str) -> None:
    """The pattern in the schema is no stricter than the parser, and knows the same units."""
    try:
        shape.parse(text)
    except UnitError:
        return
    assert re.fullmatch(shape.pattern, text)


@given(
    st.builds(Cpus, st.integers(1, 10**6)),
    st.builds(Memory, st.integers(2**20, 2**49)),
    st.builds(Duration, st.integers(0, 10**8)),
)
def test_an_amount_reads_back_as_it_is_printed(cpu: Cpus, memory: Memory, drain: Duration) -> None:
    """What ``plan`` and ``status`` print can be pasted into a fleet file."""
    fleet = outcome(
        "version: 1\nfleet: shop\nclusters: {here: {backend: local}}\ndeployments:\n  a:\n    model: {source: m}\n"
        f"    resources: {{cpu: {cpu}, memory: {memory}}}\n    stop: {{drain_within: {drain}}}\n"
    )
    assert isinstance(fleet, Fleet)
    template = fleet.deployments["a"].targets[0].template
    assert (cpu, memory, drain) == (template.resources.cpu, template.resources.memory, template.stop.drain_within)
