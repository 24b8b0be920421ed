"""Requests over real sockets: to the emulated Marathon, through a proxy that does what networks do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.errors import BackendError, Forbidden, OutcomeUnknown, Rejected, Retryable, Unreachable
from roadstead.testing.http_faults import FaultProxy, LoseReply, LoseRequest, Reply, Rule, Silence
from roadstead.units import Duration
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from roadstead_backends.marathon.faults import AlreadyExists, Locked, NotFound
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.transport import Limits

NOBODY = "http://127.0.0.1:9"
WEB: dict[str, Any] = {"id": "/shop/web", "cmd": "sleep 9", "cpus": 0.1, "mem": 16, "labels": {"fleet": "shop"}}
BRIEF = Limits(connect=Duration(2_000), read=Duration(1_000))


@pytest.fixture(scope="module")
def running() -> Iterator[Emulated]:
    """One Marathon for all tests of this module."""
    with emulated() as found:
        yield found


@pytest.fixture
def marathon(running: Emulated) -> Emulated:
    """A Marathon without apps."""
    running.ask("DELETE", "/v2/groups/shop?force=true")
    running.advance(30)
    return running


@contextmanager
def asking(*urls: str, limits: Limits | None = None, **options: Any) -> Iterator[Client]:
    """Ask these instances."""
    client = Client(MarathonOptions(urls=urls, **options), cluster="dc1", limits=limits)
    try:
        yield client
    finally:
        client.close()


def test_an_app_is_made_scaled_shown_and_removed(marathon: Emulated) -> None:
    """Each change names the deployment that carries it out."""
    with asking(marathon.url) as client:
        made = client.create({**WEB, "instances": 2})
        assert [one.id for one in made.deployments] == [one.id for one in client.deployments()]
        marathon.advance(10)
        assert ["/shop/web"] == [app.id for app in client.apps(label="fleet==shop")]
        assert [] == client.apps(label="fleet==other")
        assert client.scale("/shop/web", 3).deployment_id
        marathon.advance(10)
        found = client.app("/shop/web")
        assert found is not None
        assert (3, 3) == (found.tasks_running, len([one for one in client.tasks() if one.app_id == "/shop/web"]))
        client.kill(tuple(task.id for task in found.tasks or ())[:1], scale=True)
        marathon.advance(10)
        assert 2 == len(client.tasks())
        assert client.delete("/shop/web") is not None
        marathon.advance(10)
        assert client.app("/shop/web") is None
        assert client.delete("/shop/web") is None


def test_a_lock_names_the_deployments_that_hold_it(marathon: Emulated) -> None:
    """The client forgets them; whoever may use force needs them."""
    with asking(marathon.url) as client:
        made = client.create({**WEB, "cpus": 900})
        with pytest.raises(Locked) as caught:
            client.scale("/shop/web", 2)
        assert tuple(one.id for one in made.deployments) == caught.value.deployments
        assert client.scale("/shop/web", 0, force=True).deployment_id


def test_refusals_are_told_apart(marathon: Emulated) -> None:
    """A name that is taken, an app that is wrong, and one that is not there."""
    with asking(marathon.url) as client:
        client.create(WEB)
        with pytest.raises(AlreadyExists):
            client.create(WEB)
        with pytest.raises(Rejected, match="/cpus"):
            client.create({**WEB, "id": "/shop/wrong", "cpus": -1})
        with pytest.raises(NotFound):
            client._read("/v2/apps/shop/nobody", dict)  # as no call of ours asks


@pytest.mark.parametrize("fault", [LoseReply(), LoseRequest(), Silence(after=0)])
def test_a_write_whose_answer_is_lost_goes_to_nobody_else(marathon: Emulated, fault: Any) -> None:
    """It may have happened: another instance would do it twice, or say that the name is taken."""
    with (
        FaultProxy(marathon.url, [Rule(fault, method="POST")]) as proxy,
        asking(proxy.url, marathon.url, limits=BRIEF) as client,
    ):
        with pytest.raises(OutcomeUnknown):
            client.create(WEB)
        assert (client.app("/shop/web") is None) == isinstance(fault, LoseRequest)


@pytest.mark.parametrize("fault", [LoseReply(), Silence(after=0), Reply(503), Reply(502), Reply(500)])
def test_a_read_that_one_instance_does_not_answer_is_asked_of_the_next(marathon: Emulated, fault: Any) -> None:
    """And of that one at first from then on."""
    with (
        FaultProxy(marathon.url, [Rule(fault, method="GET")]) as proxy,
        asking(proxy.url, marathon.url, limits=BRIEF) as client,
    ):
        assert "1.11.26" == client.info().version
        assert "1.11.26" == client.info().version
        assert 1 == len(proxy.exchanges)


def test_a_write_goes_past_an_instance_that_is_not_there(marathon: Emulated) -> None:
    """It certainly reached nobody."""
    with asking(NOBODY, marathon.url) as client:
        assert "/shop/web" == client.create(WEB).id


def test_nobody_there_at_all_is_unreachable() -> None:
    """Reads and writes alike have changed nothing."""
    with asking(NOBODY) as client:
        with pytest.raises(Unreachable):
            client.info()
        with pytest.raises(Unreachable):
            client.create(WEB)


@pytest.mark.parametrize(("status", "follows"), [(307, True), (302, False)])
def test_a_write_follows_to_the_leader_only_where_it_stays_a_write(
    marathon: Emulated, status: int, *, follows: bool
) -> None:
    """302 would make a GET of it."""
    away = Reply(status, headers={"Location": f"{marathon.url}/v2/apps"})
    with FaultProxy(marathon.url, [Rule(away, method="POST")]) as proxy, asking(proxy.url) as client:
        if follows:
            client.create(WEB)
        else:
            with pytest.raises(Rejected, match="302"):
                client.create(WEB)
        assert follows == (client.app("/shop/web") is not None)


def test_credentials_are_read_again_when_they_are_refused(tmp_path: Path) -> None:
    """A password that was changed beside us is found without a restart."""
    file = tmp_path / "password"
    file.write_text("old\n")
    plan = Plan(by_hand=True, settings=attrs.evolve(Settings(), credentials="me:new"))
    with emulated(plan) as secured, asking(secured.url, user="me", password_file=file) as client:
        with pytest.raises(Forbidden, match="401"):
            client.info()
        file.write_text("new\n")
        assert "1.11.26" == client.info().version
        file.write_text("two\nlines\n")
        client.close()
        with pytest.raises(Forbidden, match="not one line"):
            client.info()


def test_an_answer_that_is_no_marathons_is_said(marathon: Emulated) -> None:
    """Such as a page that asks to sign in, with a status that looks well."""
    page = Reply(200, body=b"<html>sign in</html>")
    with FaultProxy(marathon.url, [Rule(page, times=2)]) as proxy, asking(proxy.url) as client:
        with pytest.raises(Unreachable, match="not understood"):
            client.info()
        with pytest.raises(OutcomeUnknown):
            client.create(WEB)


def test_without_a_leader_it_is_worth_asking_again() -> None:
    """Nothing was changed meanwhile, by reads or by writes."""
    with emulated(Plan(by_hand=True, instances=2)) as two, asking(*two.urls) as client:
        two.control("lose-leader")
        for ask in (client.info, lambda: client.create(WEB)):
            with pytest.raises(BackendError) as caught:
                ask()
            assert isinstance(caught.value, Retryable | Unreachable)
        two.advance(2)
        assert "/shop/web" == client.create(WEB).id
