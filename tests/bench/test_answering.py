"""What is counted again only where something changed is what counting everything comes to."""

from __future__ import annotations

from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from roadstead.bench.answering import Answering
from roadstead.traffic import Endpoint
from roadstead.world import Listed, ModelState, ModelStatus

CLUSTERS = ("here", "there")
SERVES = ModelState(status=ModelStatus.AVAILABLE, incarnation="1", versions=(1,))
LOADS = ModelState(status=ModelStatus.LOADING, incarnation="1")
PLACES = tuple(
    Listed(cluster=cluster, replica=f"{name}-{number}", endpoint=Endpoint(host="h", grpc=number, rest=None))
    for cluster in CLUSTERS
    for name in ("anchor", "buoy")
    for number in range(2)
)


def of(name: str) -> tuple[Listed, ...]:
    """Return all places that a deployment may be listed at."""
    return tuple(place for place in PLACES if place.replica.startswith(name))


STATES = st.fixed_dictionaries(
    {
        cluster: st.dictionaries(
            st.sampled_from([place.replica for place in PLACES if place.cluster == cluster]),
            st.sampled_from((SERVES, LOADS)),
        ).map(MappingProxyType)
        for cluster in CLUSTERS
    }
)
ENDPOINTS = st.fixed_dictionaries(
    {}, optional={name: st.lists(st.sampled_from(of(name)), unique=True).map(tuple) for name in ("anchor", "buoy")}
)


@given(looks=st.lists(st.tuples(STATES, ENDPOINTS), min_size=1, max_size=5))
def test_who_answers_is_the_same_whether_all_are_counted_or_only_what_changed(
    looks: list[tuple[dict[str, MappingProxyType[str, ModelState]], dict[str, tuple[Listed, ...]]]],
) -> None:
    """After any changes of what servers say and of who is listed, each count is that of the servers with a version."""
    answering = Answering()
    for states, endpoints in looks:
        expected = {
            name: sum(states[entry.cluster].get(entry.replica) is SERVES for entry in entries)
            for name, entries in endpoints.items()
        }
        assert expected == answering.counts(states, endpoints)


def test_where_nothing_changed_the_counts_are_the_same_object() -> None:
    """Whoever compares them by identity looks at none of them."""
    answering = Answering()
    states, endpoints = {"here": MappingProxyType({"anchor-0": SERVES})}, {"anchor": of("anchor")[:1]}
    assert answering.counts(states, endpoints) is answering.counts(states, endpoints)
