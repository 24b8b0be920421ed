"""What is seen just before a restart decides whether it is taken: whoever has requests in flight is not cut off."""

from __future__ import annotations

import attrs
import pytest

from roadstead.act.preconditions import Now, objection
from roadstead.model import ModelSpec, Scheduling, Template
from roadstead.plans import Delete, Evict, Restart, Shrink, Standing
from roadstead.traffic import DataPath, Endpoint, GatewayView, Passage, RouteView, Seen
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, ModelState, ModelStatus, Phase, Reachable, Replica, Snapshot
from roadstead_backends.simulated.cluster import capabilities

KEY = GroupKey("minilm", "aaaaaaaaaa")
ENDPOINT = Endpoint(host="127.0.0.1", grpc=9000, rest=9001)
REPLICA = Replica(id="r1", phase=Phase.RUNNING, incarnation="i1", endpoint=ENDPOINT)
STEP = Restart(
    cluster="here",
    deployment="minilm",
    replica="r1",
    incarnation="i1",
    grace=Duration(1_000),
    standing=(),
    because="it uses more than it may",
)
EVICTION = Evict(
    cluster="here",
    deployment="minilm",
    replica="r1",
    incarnation="i1",
    grace=Duration(1_000),
    standing=(),
    because="it uses more than it may",
)
OUT_AND_IDLE = Passage(known=True, listed=False, serving=False, idle=True)
OUT_AND_BUSY = attrs.evolve(OUT_AND_IDLE, idle=False)
LISTED = Passage(known=True, listed=True, serving=True, idle=True)


def seen(passage: Passage) -> Now:
    """Return a world in which a ready replica is behind a gateway that treats it like this."""
    group = Group(
        key=KEY,
        owner="search",
        owner_id="o",
        generation=1,
        target=1,
        template=Template(model=ModelSpec(name="m", source="/m")),
        version="1",
        replicas=(REPLICA,),
    )
    view = GatewayView(settled=True, routes={"minilm": RouteView(port=18000, passages={ENDPOINT: passage})})
    return Now(
        views={"here": Reachable(Snapshot(capabilities=capabilities(Scheduling.DIRECTED), groups=(group,)))},
        models={"r1": ModelState(status=ModelStatus.AVAILABLE, incarnation="i1", versions=(1,))},
        data_path=DataPath(gateways={"edge": Seen(view)}, via={"minilm": "edge"}),
    )


@pytest.mark.parametrize(
    ("passage", "against"),
    [
        pytest.param(OUT_AND_IDLE, None, id="out and idle"),
        pytest.param(OUT_AND_BUSY, "requests are in flight to r1", id="out with requests in flight"),
        pytest.param(LISTED, "the gateway may send requests to r1", id="listed"),
    ],
)
def test_a_server_is_ended_for_what_it_uses_only_when_nobody_waits_for_its_answer(
    passage: Passage, against: str | None
) -> None:
    """Listed or busy it stays, idle it may be restarted or evicted."""
    assert against == objection(STEP, seen(passage))
    assert against == objection(EVICTION, seen(passage))


def test_who_is_another_process_by_now_is_not_evicted() -> None:
    """What was decided about the one before does not concern it."""
    assert "r1 was restarted already" == objection(attrs.evolve(EVICTION, incarnation="i0"), seen(OUT_AND_IDLE))


def test_one_whose_time_to_drain_is_over_is_restarted_although_it_is_busy() -> None:
    """The plan says that its grace is over; that it is listed again stands against it all the same."""
    overdue = attrs.evolve(STEP, overdue=("r1",))
    assert objection(overdue, seen(OUT_AND_BUSY)) is None
    assert objection(overdue, seen(LISTED)) is not None


def test_nobody_else_is_counted_on_for_a_deployment() -> None:
    """Who serves counts for its own deployment only: ten thousand others are not looked through for each step."""
    standing = Standing(cluster="here", replica="r1", incarnation="i1")
    its_own = Delete(
        cluster="here",
        group=KEY,
        grace=Duration(1_000),
        version="1",
        standing=(standing,),
        because="beyond the history",
    )
    another = attrs.evolve(its_own, group=GroupKey("bert", "aaaaaaaaaa"))
    serving = seen(LISTED)

    assert objection(its_own, serving) is None
    assert "r1 is counted on and gone" == objection(another, serving)


FEWER = Shrink(
    cluster="here",
    group=KEY,
    owner="search",
    generation=1,
    template=Template(model=ModelSpec(name="m", source="/m")),
    target=1,
    was=1,
    retire=(),
    version="1",
    standing=(),
    because="1 wanted",
)


@pytest.mark.parametrize(
    ("stands", "most", "against"),
    [
        pytest.param(0, 0, None, id="it was lowered"),
        pytest.param(1, 0, "1 replicas of minilm may not be disturbed, and no more than those would be left", id="not"),
        pytest.param(1, None, None, id="no matter"),
    ],
)
def test_a_group_gets_smaller_once_somebody_may_be_disturbed_then(
    stands: int, most: int | None, against: str | None
) -> None:
    """What stands for a deployment was to be lowered before; where it was not, or is higher again, that waits."""
    now = seen(OUT_AND_IDLE)
    view = now.views["here"]
    assert isinstance(view, Reachable)
    snapshot = attrs.evolve(view.snapshot, settled={"minilm": stands})

    found = objection(attrs.evolve(FEWER, most_settled=most), attrs.evolve(now, views={"here": Reachable(snapshot)}))

    assert against == found
