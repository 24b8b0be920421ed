"""What is found out around a Marathon, over real sockets: agents, the launch queue, failures, and other writers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import msgspec
import pytest

from roadstead.model import Constraint, Operator, PlacementSpec, Resources
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import GroupOrder
from roadstead.units import Cpus, Memory
from roadstead_backends.marathon import names, translate
from roadstead_backends.marathon.abilities import capabilities
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.emulator.testing import Emulated, emulated
from roadstead_backends.marathon.insight import Insight
from roadstead_backends.marathon.messages import App
from roadstead_backends.marathon.options import Containers, MarathonOptions
from roadstead_backends.marathon.view import View
from roadstead_backends.marathon.why import Why
from tests.marathon_backend.orders import order_of, template_with


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """One Marathon for all tests of this module, with three agents of 8 CPUs."""
    with emulated() as found:
        yield found


class Scene:
    """A Marathon without apps, and everything that looks at it; its clock is the emulator's."""

    def __init__(self, marathon: Emulated) -> None:
        self.marathon = marathon
        self.options = MarathonOptions(urls=(marathon.url,), containers=Containers.NONE)
        self.client = Client(self.options, cluster="dc1")
        self.view = View("0f1e2d", capabilities(self.options, None), translate.stored)
        self.now = 1_000.0
        self.insight = Insight(self.client, self.options, cluster="dc1", now=lambda: self.now, epoch=self.epoch)
        self.why: dict[str, Why] = {}

    def epoch(self) -> float:
        """Return what time it is there, in seconds."""
        found: float = self.marathon.do(lambda ensemble: ensemble.marathon.timeline.now) / 1000
        return found

    def put(self, count: int = 1, **changes: Any) -> str:
        """Make an app of a group; return its id."""
        order: GroupOrder = order_of(template_with(**changes))
        made = self.client.create(translate.app(order, count, self.options))
        self.insight.writers.wrote(made.id, version=made.version, deployments=[one.id for one in made.deployments])
        return made.id

    def look(self, seconds: float = 10) -> Insight:
        """Let time pass, and look at everything."""
        self.marathon.advance(seconds)
        self.now += seconds
        definitions = self.client.definitions(label=names.selector("shop"))
        self.view.put_all(msgspec.json.decode(one, type=App) for one in definitions)
        self.why = dict(self.insight.look(self.view.apps, self.client.deployments()))
        return self.insight


@pytest.fixture
def scene(running: Emulated) -> Iterator[Scene]:
    """A Marathon without apps."""
    running.ask("DELETE", "/v2/groups/shop?force=true")
    running.control("set-course", app="/shop")
    running.advance(400)
    made = Scene(running)
    yield made
    made.insight.close()
    made.client.close()


def test_agents_are_nodes_and_our_own_tasks_are_not_foreign(scene: Scene) -> None:
    """What is given away to us is ours; Marathon said where Mesos is."""
    scene.put(2)
    insight = scene.look()
    assert {"127.0.1.1", "127.0.1.2", "127.0.1.3"} == {one.name for one in insight.ground.nodes}
    assert {Cpus(0)} == {one.foreign_cpu for one in insight.ground.nodes}
    assert ({}, ()) == (scene.why, insight.notes)


def test_an_app_that_no_agent_has_room_for_says_what_would_do(scene: Scene) -> None:
    """The queue and the agents together, once it has waited for a while; the same object while nothing happens."""
    app = scene.put(resources=Resources(cpu=Cpus(10_000), memory=Memory(2**30)))
    scene.look(2)
    assert "starting: it is in Marathon's launch queue" == str(scene.why[app].missing)
    scene.look()
    reason = scene.why[app].missing
    assert reason is not None
    assert (ReasonCode.NO_CAPACITY, 3, 3) == (reason.code, reason.count, reason.total)
    assert "cpu (at most 8 free, 10 asked) on 3" in reason.detail
    assert reason.change is not None
    assert "lower resources.cpu from 10 to 8" == reason.change.text
    before = scene.why[app]
    scene.look()
    assert before is scene.why[app]


def test_a_constraint_that_no_agent_meets_is_named(scene: Scene) -> None:
    """By its attribute, as the fleet file has it."""
    rule = Constraint(attribute="rack", operator=Operator.IN, values=("rack-9",))
    app = scene.put(placement=PlacementSpec(constraints=(rule,)))
    scene.look()
    reason = scene.why[app].missing
    assert reason is not None
    assert ReasonCode.NO_MATCHING_NODE is reason.code
    assert "constraint rack on 3" in reason.detail
    assert "UnfulfilledConstraint 3" in reason.raw


def test_a_task_that_stays_in_staging_is_overdue_after_a_minute(scene: Scene) -> None:
    """The agent and the moment are named, and what it has to get."""
    scene.marathon.control("set-course", app="/shop", starting=None, running=None)
    app = scene.put(model=attrs.evolve(template_with().model, source="https://models.example/minilm.tar.gz"))
    scene.look(10)
    (reason,) = scene.why[app].tasks.values()
    assert "starting: its agent prepares it" == str(reason)
    scene.look(70)
    (reason,) = scene.why[app].tasks.values()
    assert ReasonCode.MODEL is reason.code
    assert "it needs the model from https://models.example/minilm.tar.gz" in reason.detail
    assert reason.change is not None
    assert reason.change.text.startswith("let 127.0.1.")


def test_a_task_that_cannot_be_fetched_says_so_while_it_waits(scene: Scene) -> None:
    """The agent's words about the last one, and until when Marathon waits."""
    words = "Failed to launch container: Failed to fetch all URIs for container 'c': exited with status 1"
    scene.marathon.control(
        "set-course", app="/shop", starting=None, running=None, end=200, final="TASK_FAILED", message=words
    )
    app = scene.put()
    scene.look(60)
    reason = scene.why[app].missing
    assert reason is not None
    assert (ReasonCode.MODEL, words) == (reason.code, reason.raw)
    assert "its agent could not fetch the model on 127.0.1." in reason.detail


def test_a_lost_agent_is_said_of_each_of_its_tasks(scene: Scene) -> None:
    """As soon as Mesos has given it up; once another task is there and the agent is back, nothing is said."""
    app = scene.put()
    scene.look()
    (task,) = scene.view.apps[app].app.tasks or ()
    scene.marathon.control("lose-agent", agent=task.slave_id, partition=True)
    scene.look(80)
    (reason,) = scene.why[app].tasks.values()
    assert ReasonCode.UNREACHABLE is reason.code
    assert f"its agent {task.host} does not answer to Mesos" in reason.detail
    scene.marathon.control("return-agent", agent=task.slave_id)
    scene.look(400)
    assert {} == scene.why


def test_once_all_is_well_there_is_nothing_to_say(scene: Scene) -> None:
    """A reason goes with what it was for."""
    scene.marathon.control("set-course", app="/shop", starting=None, running=None)
    app = scene.put()
    scene.look(10)
    assert app in scene.why
    scene.marathon.control("set-course", app="/shop")
    (task,) = scene.view.apps[app].app.tasks or ()
    scene.marathon.control("fail-task", task=task.id)
    scene.look(60)
    assert {} == scene.why


def test_somebody_else_who_scales_an_app_is_noticed(scene: Scene) -> None:
    """Our own scaling is not; theirs is, with the numbers."""
    app = scene.put()
    scene.look()
    made = scene.client.scale(app, 2)
    scene.insight.writers.wrote(app, version=made.version, deployments=[made.deployment_id])
    scene.look()
    assert {} == scene.why
    scene.marathon.ask("PUT", f"/v2/apps{app}", {"instances": 1})
    scene.look()
    reason = scene.why[app].app
    assert reason is not None
    assert ReasonCode.CONTESTED is reason.code
    assert "and its instances went from 2 to 1" in reason.detail


def test_nothing_is_lost_where_mesos_does_not_answer(scene: Scene) -> None:
    """Marathon's word is still told, with a note that agents are not known."""
    options = attrs.evolve(scene.options, mesos="http://127.0.0.1:9")
    scene.insight = Insight(scene.client, options, cluster="dc1", now=lambda: scene.now, epoch=scene.epoch)
    app = scene.put(resources=Resources(cpu=Cpus(10_000), memory=Memory(2**30)))
    scene.look(20)
    reason = scene.why[app].missing
    assert reason is not None
    assert reason.detail.endswith("of the 3 agents that offered something last, 3 have too little CPU left")
    assert scene.insight.notes[0].startswith("the agents of Mesos are not known: dc1: Mesos does not answer")


def test_use_is_told_by_replica(scene: Scene) -> None:
    """What a task uses is its replica's; the second reading knows its CPU."""
    scene.put(2, resources=Resources(cpu=Cpus(1_000), memory=Memory(2**30)))
    scene.look()
    scene.view.node_of = scene.insight.ground.node_of
    assert {None} == {one.cpu for one in scene.insight.usage(scene.view.snapshot()).values()}
    scene.look(11)
    found = scene.insight.usage(scene.view.snapshot())
    assert {one.id for group in scene.view.snapshot().groups for one in group.replicas} == found.keys()
    assert {(Cpus(500), Memory(2**29))} == {(one.cpu, one.memory) for one in found.values()}
