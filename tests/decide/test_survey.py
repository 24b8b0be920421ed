"""What is found out about a cluster for one deployment is what anybody else would find out who asks for the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.decide.capacity import free_in_all, room
from roadstead.decide.enough import refusal
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.placement import first_of
from roadstead.decide.rooms import Demand, demand
from roadstead.holdings import Placed
from roadstead.memory import Claim, PlanMemory
from roadstead.model import Fleet, Template
from roadstead.world import Snapshot, World
from tests.decide.test_columns import ABLE, POLICIES, many_nodes, templates

NAMES = ("anchor", "buoy", "cable")
FEWER = settings(max_examples=40) if settings().derandomize else settings()
"""Each example surveys a cluster a dozen times; the nightly profile asks for as many as it always does."""


def ledger(claims: Mapping[str, tuple[Claim, ...]]) -> Ledger:
    """Return a ledger of a cluster on which nothing runs."""
    return Ledger(Fleet(name="f", clusters={}, deployments={}), World(clusters={}), PlanMemory(claims=claims))


@attrs.define
class Asking:
    """Who asks, with what it got so far, on a ledger that others ask, too."""

    snapshot: Snapshot
    ledger: Ledger
    got: list[tuple[str, Freed]] = attrs.field(factory=list)

    def wish(self, name: str, template: Template) -> Demand:
        """Return what a deployment asks for."""
        mine = [one for whose, one in self.got if whose == name]
        own = tuple(Placed(node=one.node, devices=one.devices, resources=one.resources) for one in mine)
        return demand("here", self.snapshot, name, template, Counter(one.node for one in mine), own=lambda: own)

    def place(self, name: str, template: Template) -> None:
        """Give a deployment one replica, where there is room for it."""
        found = first_of(self.snapshot.nodes, self.ledger, self.wish(name, template), POLICIES["spread"])
        if found is not None:
            self.ledger.release_claim(name, "here", found.node)
            self.ledger.place("here", found.node, found.devices, template.resources)
            given_up = Freed(cluster="here", node=found.node, devices=found.devices, resources=template.resources)
            self.got.append((name, given_up))


@given(st.data())
@FEWER
def test_what_was_found_out_for_others_is_what_is_found_out_anew(data: st.DataObject) -> None:
    """Whoever asks after others asked, and got something, is told the same as if nobody had ever asked."""
    snapshot = Snapshot(capabilities=ABLE, nodes=data.draw(many_nodes()))
    kinds = data.draw(st.lists(templates, min_size=1, max_size=3))
    on = st.sampled_from([node.name for node in snapshot.nodes])
    claims = {
        name: (Claim(replica="r", cluster="here", node=data.draw(on), devices=(), resources=kinds[0].resources),)
        for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))
    }
    shared, alone = Asking(snapshot, ledger(claims)), Asking(snapshot, ledger(claims))
    for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=6)):
        template = data.draw(st.sampled_from(kinds))
        refusal(snapshot, shared.ledger, shared.wish(name, template), count=data.draw(st.integers(1, 3)))
        free_in_all(snapshot, shared.ledger, "here", name)
        for asking in (shared, alone):
            asking.place(name, template)
    name, template, count = data.draw(st.tuples(st.sampled_from(NAMES), st.sampled_from(kinds), st.integers(1, 4)))
    freed = data.draw(st.sampled_from([None, *(one for whose, one in alone.got if whose == name)]))
    answers = [
        (
            refusal(snapshot, asking.ledger, asking.wish(name, template), count=count, freed=freed),
            room(snapshot, asking.ledger, asking.wish(name, template), freed),
            free_in_all(snapshot, asking.ledger, "here", name),
        )
        for asking in (shared, alone)
    ]
    assert answers[1] == answers[0]


@given(st.data())
def test_room_without_a_replica_is_what_the_nodes_have_without_it(data: st.DataObject) -> None:
    """That one leaves is the same as that it never came, where nothing limits how many there are of a kind."""
    snapshot = Snapshot(capabilities=ABLE, nodes=data.draw(many_nodes()))
    template = data.draw(templates.filter(lambda one: one.placement.spread is None))
    with_it, without = Asking(snapshot, ledger({})), Asking(snapshot, ledger({}))
    with_it.place("anchor", template)
    for _, freed in with_it.got:
        expected = room(snapshot, without.ledger, without.wish("anchor", template))
        assert expected == room(snapshot, with_it.ledger, with_it.wish("anchor", template), freed)
