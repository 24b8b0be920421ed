"""Taking over a running app: the same tasks, under our rule, and nothing of the app is written but its count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.errors import Conflict, OutcomeUnknown, Rejected, Retryable
from roadstead.spi.backend import ABSENT, Expect, GroupOrder
from roadstead.template import revision
from roadstead.testing.http_faults import FaultProxy, LoseReply
from roadstead.units import Memory
from roadstead.world import Group, GroupKey, Phase
from roadstead_backends.marathon.adoption import as_live
from roadstead_backends.marathon.backend import MarathonBackend
from roadstead_backends.marathon.connect import connect
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from roadstead_backends.marathon.importing import imported
from roadstead_backends.marathon.options import Containers, MarathonOptions
from tests.cluster.waiting import until
from tests.marathon_backend.clusters import Writes, context_of
from tests.marathon_backend.orders import order_of

Json = dict[str, Any]

APP = "/legacy/minilm"
OPTIONS = MarathonOptions(urls=("http://127.0.0.1",), containers=Containers.NONE)
LEGACY: Json = {
    "id": APP,
    "cmd": "exec tensorflow_model_server --rest_api_port=$PORT0 --port=$PORT1 "
    "--model_name=minilm --model_base_path=/srv/models/minilm",
    "cpus": 0.5,
    "mem": 256,
    "instances": 2,
    "labels": {"team": "search"},
    "portDefinitions": [{"port": 0, "name": "http"}, {"port": 0}],
}


def the_order(native: str = APP, *, memory: Memory | None = None) -> GroupOrder:
    """Return an order for what an import of it would declare, perhaps with other memory."""
    template = imported(LEGACY, OPTIONS).template
    assert template is not None
    if memory is not None:
        template = attrs.evolve(template, resources=attrs.evolve(template.resources, memory=memory))
    return attrs.evolve(order_of(template), adopts=native, fleet="tests")


def test_what_cannot_be_read_from_what_runs_counts_as_equal() -> None:
    """A version, what is asked of servers and how much memory within a MiB are as ordered; limits as they run."""
    live = the_order().template
    ordered = attrs.evolve(
        live,
        model=attrs.evolve(live.model, version=7),
        runtime=attrs.evolve(live.runtime, image="serving:1"),
        resources=attrs.evolve(live.resources, memory=Memory(256 * 2**20 - 1)),
        health=attrs.evolve(live.health, failures=9),
    )
    assert ordered == as_live(ordered, live, knows_version=False)
    larger = attrs.evolve(ordered, resources=attrs.evolve(ordered.resources, memory=Memory(2**30)))
    assert live.resources.memory == as_live(larger, live, knows_version=False).resources.memory
    assert 1 == as_live(ordered, live, knows_version=True).model.version


# ---- on a Marathon ----


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """A Marathon that pretends to run tasks."""
    with emulated(Plan(settings=Settings(min_revive_offers_interval=100))) as running:
        yield running


@attrs.define
class Place:
    """A Marathon with somebody's app on it, and a backend of ours behind a network that can fail."""

    marathon: Emulated
    proxy: FaultProxy
    root: Path
    backend: MarathonBackend

    def tasks(self) -> set[str]:
        """Return the app's tasks."""
        _, found = self.marathon.ask("GET", f"/v2/apps{APP}/tasks")
        return {one["id"] for one in found["tasks"] if one["state"] == "TASK_RUNNING"}

    def app(self) -> Json:
        """Return the app, without what changes by itself and its count."""
        _, found = self.marathon.ask("GET", f"/v2/apps{APP}")
        own = ("instances", "version", "versionInfo", "tasks", "deployments", "lastTaskFailure")
        return {name: value for name, value in found["app"].items() if name not in own and "tasks" not in name}

    def adopt(self, order: GroupOrder) -> None:
        """Ask for it."""
        self.backend.observe()
        self.backend.apply(order, 2, expect=ABSENT)

    def seen(self, count: int = 2) -> Group:
        """Return the one group that we see, once so many of it run and nothing else is left."""

        def whole() -> Group | None:
            groups = self.backend.observe().groups
            running = [one for group in groups for one in group.replicas if one.phase is Phase.RUNNING]
            is_whole = len(groups) == 1 and len(running) == len(groups[0].replicas) == count
            return groups[0] if is_whole else None

        return until(whole, every=0.05)

    def again(self) -> None:
        """Start the backend anew."""
        self.backend.close()
        self.backend = connect(context_of("0f1e2d", self.proxy.url, self.root))


@pytest.fixture
def place(marathon: Emulated, tmp_path: Path) -> Iterator[Place]:
    """Two tasks of somebody's app run."""
    assert 201 == marathon.ask("POST", "/v2/apps", LEGACY)[0]
    with FaultProxy(marathon.url) as proxy:
        made = Place(marathon, proxy, tmp_path, connect(context_of("0f1e2d", proxy.url, tmp_path)))
        until(lambda: len(made.tasks()) == 2 and not marathon.ask("GET", "/v2/deployments")[1], every=0.05)
        yield made
        made.backend.close()
    for app in marathon.ask("GET", "/v2/apps")[1]["apps"]:
        marathon.ask("DELETE", f"/v2/apps{app['id']}?force=true")
    until(lambda: not marathon.ask("GET", "/v2/tasks")[1]["tasks"], every=0.05)


def test_the_same_tasks_go_on_under_our_rule(place: Place) -> None:
    """Nothing was written, and the group is the one that was wanted, with its ports where they are."""
    before, app, order = place.tasks(), place.app(), the_order()
    place.adopt(order)
    group = place.seen()
    assert (before, app) == (place.tasks(), place.app())
    assert (order.key, "search", 2) == (group.key, group.owner, group.target)
    assert not group.has_drifted
    assert place.backend.observe().capabilities.emulated
    _, found = place.marathon.ask("GET", f"/v2/apps{APP}/tasks")
    assert {tuple(reversed(one["ports"])) for one in found["tasks"]} == {
        (one.endpoint.grpc, one.endpoint.rest) for one in group.replicas if one.endpoint is not None
    }


@pytest.mark.slow
def test_it_is_known_again_after_a_start_and_after_the_daemons_memory_was_lost(place: Place) -> None:
    """What was found is kept; without it, the fleet file's line is enough to find the same."""
    place.adopt(the_order())
    before = place.seen()
    place.again()
    assert before == place.seen()
    (place.root / "adopted.json").write_text("half a fi", encoding="utf-8")
    place.again()
    assert () == place.backend.observe().groups
    place.adopt(the_order())
    assert before == place.seen()


@pytest.mark.slow
def test_it_scales_gives_up_who_is_named_and_goes(place: Place) -> None:
    """Like any group of ours; afterwards an app of that name is not ours any more."""
    order, app = the_order(), place.app()
    place.adopt(order)
    victim = place.seen().replicas[0].id
    place.backend.apply(order, 1, retire=(victim,), expect=Expect(place.seen().version))
    assert {victim}.isdisjoint(one.id for one in place.seen(1).replicas)
    place.backend.apply(order, 3, expect=Expect(place.seen(1).version))
    version = place.seen(3).version
    assert app == place.app()
    place.backend.delete(order.key, grace=order.template.stop.kill_after, expect=Expect(version))
    until(lambda: not place.backend.observe().groups, every=0.05)
    assert 404 == place.marathon.ask("GET", f"/v2/apps{APP}")[0]
    place.marathon.ask("POST", "/v2/apps", LEGACY)
    place.again()
    assert () == place.backend.observe().groups


@pytest.mark.slow
def test_what_differs_from_the_file_is_the_old_revision(place: Place) -> None:
    """The file names more memory: what was taken over is another group than the wanted one, made next to it."""
    order = the_order(memory=Memory(2**30))
    place.adopt(order)
    group = place.seen()
    assert GroupKey("minilm", revision(the_order().template)) == group.key
    place.backend.apply(order, 1, expect=ABSENT)
    assert {order.key, group.key} == {one.key for one in place.backend.observe().groups}


@pytest.mark.slow
def test_it_is_left_alone_while_somebody_changes_it(place: Place) -> None:
    """And taken over when that has ended."""
    stuck = {"instances": 3, "cpus": 64}
    place.marathon.ask("PUT", f"/v2/apps{APP}", stuck)
    with pytest.raises(Retryable, match="a deployment changes it"):
        place.adopt(the_order())
    assert () == place.backend.observe().groups


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"cmd": "exec nginx"}, "no command of it starts TensorFlow Serving"),
        ({"cmd": f"{LEGACY['cmd'].replace('$PORT', '70')}"}, "listens on no port that it declares"),
    ],
)
def test_what_cannot_be_served_is_not_taken_over(place: Place, change: Json, why: str) -> None:
    """With the reason, and nothing is made beside it."""
    place.marathon.ask("PUT", f"/v2/apps{APP}", change)
    until(lambda: not place.marathon.ask("GET", "/v2/deployments")[1], every=0.05)
    with pytest.raises(Rejected, match=why):
        place.adopt(the_order())
    assert () == place.backend.observe().groups


@pytest.mark.slow
def test_what_somebody_edits_later_is_shown_and_not_put_back(place: Place) -> None:
    """The app is theirs to edit: of ours is only its count."""
    order = the_order()
    place.adopt(order)
    place.seen()
    place.marathon.ask("PUT", f"/v2/apps{APP}", {"labels": {"team": "ads"}})
    group = until(lambda: next((one for one in place.backend.observe().groups if one.has_drifted), None), every=0.05)
    assert ["labels.team"] == [one.field for one in group.drift]
    with pytest.raises(Rejected, match="was taken over"):
        place.backend.revert(order.key, expect=Expect(group.version))


@pytest.mark.slow
def test_an_app_that_is_gone_is_made_as_one_of_ours(place: Place) -> None:
    """There is nothing to take over."""
    order = the_order("/legacy/another")
    place.adopt(order)
    (group,) = place.backend.observe().groups
    assert order.key == group.key
    _, found = place.marathon.ask("GET", "/v2/apps?id=/tests/")
    assert [f"/tests/minilm/{order.key.revision}"] == [one["id"] for one in found["apps"]]


@pytest.mark.slow
def test_a_reply_that_is_lost_changes_nothing(place: Place) -> None:
    """Taking over writes nothing to Marathon, so that there is nothing to lose; what scales it may be."""
    order = the_order()
    place.adopt(order)
    group = place.seen()
    place.proxy.add(Writes(LoseReply()))
    with pytest.raises(OutcomeUnknown):
        place.backend.apply(order, 3, expect=Expect(group.version))
    after = place.seen(3)
    with pytest.raises(Conflict):
        place.backend.apply(order, 3, expect=Expect(group.version))
    assert 3 == after.target


@pytest.mark.slow
def test_the_definition_is_kept_as_it_was(place: Place) -> None:
    """All that would restart tasks, and nothing that Marathon counts by itself."""
    place.adopt(the_order())
    kept = json.loads(json.loads((place.root / "adopted.json").read_text(encoding="utf-8"))[APP]["definition"])
    assert {"id", "cmd", "labels", "cpus"} <= kept.keys()
    assert set() == {"instances", "version", "tasks", "tasksRunning"} & kept.keys()
