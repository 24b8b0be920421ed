"""Orders and templates for the pure tests of backends that write an order down as an object of their cluster."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from typing import Any

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
    Spread,
    StopSpec,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.spi.backend import GroupOrder
from roadstead.spi.runtime import Launch
from roadstead.template import revision
from roadstead.units import Cpus, Duration, Memory
from roadstead.wire import to_wire
from roadstead.world import GroupKey

__all__ = ["NAMES", "SECONDS", "TEXTS", "constraints_on", "order_for", "template_with", "templates_of"]

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
SECONDS = st.integers(0, 3_600).map(lambda count: Duration(count * 1000))


def order_for(template: Template, launch: Launch, *, generation: int = 1) -> GroupOrder:
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


def template_with(options: object = None, **changes: object) -> Template:
    """Return a template of a model on a node, with these fields; ``options`` are the backend's own."""
    said = json.dumps(to_wire(options), sort_keys=True) if options is not None else ""
    plain = Template(model=ModelSpec(name="minilm", source="/models/minilm"), backend_options=said)
    return attrs.evolve(plain, **changes)  # type: ignore[arg-type]  # fields of it


def constraints_on(
    listed: st.SearchStrategy[str], values: st.SearchStrategy[str], present: st.SearchStrategy[str]
) -> st.SearchStrategy[Constraint]:
    """Any constraint: an attribute of ``listed`` with some values or without, or one of ``present`` with whatever."""
    return st.one_of(
        st.builds(
            Constraint,
            attribute=listed,
            operator=st.sampled_from([Operator.IN, Operator.NOT_IN]),
            values=st.lists(values, min_size=1, max_size=3).map(tuple),
        ),
        st.builds(Constraint, attribute=present, operator=st.just(Operator.EXISTS)),
    )


def templates_of(
    *,
    sources: Sequence[str],
    gpus: st.SearchStrategy[WholeGpus | GpuPartition | None],
    constraints: st.SearchStrategy[Constraint],
    most_in_one_place: Sequence[int | None],
    **more: st.SearchStrategy[Any],
) -> st.SearchStrategy[Template]:
    """Any template with what a cluster can express of these; ``more`` are fields that only some can."""
    return st.builds(
        Template,
        model=st.builds(
            ModelSpec,
            name=NAMES,
            source=st.sampled_from(sources),
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
        env=st.lists(st.builds(Variable, name=NAMES, value=TEXTS), max_size=3, unique_by=lambda one: one.name).map(
            tuple
        ),
        health=st.builds(
            HealthSpec, start_within=SECONDS, every=st.integers(1, 60_000).map(Duration), node_lost_after=SECONDS
        ),
        stop=st.builds(StopSpec, drain_within=SECONDS, kill_after=SECONDS),
        placement=st.builds(
            PlacementSpec,
            constraints=st.lists(constraints, max_size=3).map(tuple),
            spread=st.none() | st.builds(Spread, by=NAMES, max_per=st.sampled_from(most_in_one_place)),
        ),
        **more,
    )
