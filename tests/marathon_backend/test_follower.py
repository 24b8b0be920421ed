"""What is made of Marathon's events, over real sockets: only that something changed, and never that nothing did."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.testing.http_faults import Cut, FaultProxy, Reply, Rule, Silence
from roadstead.units import Duration
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated
from roadstead_backends.marathon.follower import Follower, News, apps_of
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.stream import Event
from roadstead_backends.marathon.subscribing import Subscriber

APP = {"id": "/shop/web", "cmd": "sleep 9", "cpus": 0.1, "mem": 16}
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def marathon() -> Iterator[Emulated]:
    """One Marathon for all tests of this module."""
    with emulated() as running:
        yield running


class Watch:
    """A follower, and how often it woke somebody."""

    def __init__(self, url: str, *more: str, idle: Duration = Duration(20_000)) -> None:
        options = MarathonOptions(urls=(url, *more))
        self.follower = Follower(Subscriber(options, idle=idle), lambda app: app.startswith("/shop/"), chance=lambda: 0)
        self._woken = threading.Condition()
        self._count = 0

    def wake(self) -> None:
        """Count."""
        with self._woken:
            self._count += 1
            self._woken.notify_all()

    def until(self, holds: Callable[[News], bool]) -> News:
        """Return all news since the last time, once ``holds`` is true of them; looks again with each wake."""
        everything, apps = False, frozenset[str]()
        for _ in range(200):
            with self._woken:
                news, before = self.follower.take(), self._count
            everything, apps = everything or news.everything, apps | news.apps
            if holds(News(everything, apps)):
                return News(everything, apps)
            with self._woken:
                assert self._woken.wait_for(self._has_woken_since(before), PATIENCE_S), "nobody was woken"
        raise AssertionError(f"not so after 200 wakes: {everything}, {sorted(apps)}")

    def _has_woken_since(self, before: int) -> Callable[[], bool]:
        return lambda: self._count > before

    def settle(self) -> None:
        """Wait until it listens and has said that everything may have changed for the last time."""
        while True:
            self.until(lambda _: self.follower.connections > 0)
            if not self.follower.take().everything:
                return
            with self._woken:
                self._woken.wait(0.05)


@contextlib.contextmanager
def watching(url: str, *more: str, idle: Duration = Duration(20_000)) -> Iterator[Watch]:
    """Follow these instances."""
    watch = Watch(url, *more, idle=idle)
    watch.follower.watch(watch.wake)
    try:
        yield watch
    finally:
        watch.follower.close()


def test_while_nobody_listens_everything_may_have_changed(marathon: Emulated) -> None:
    """Each time that it is asked."""
    follower = Follower(Subscriber(MarathonOptions(urls=(marathon.url,))), lambda _: True)
    assert [News(everything=True), News(everything=True)] == [follower.take(), follower.take()]
    follower.close()


def test_events_name_the_apps_that_changed_and_only_ours_wake(marathon: Emulated) -> None:
    """The others' are not worth a look."""
    with watching(marathon.url) as watch:
        watch.settle()
        marathon.ask("POST", "/v2/apps", {**APP, "id": "/others/web"})
        marathon.ask("POST", "/v2/apps", APP)
        assert News(everything=False, apps=frozenset({"/shop/web"})) == watch.until(lambda news: bool(news.apps))
        marathon.ask("DELETE", "/v2/apps/shop/web?force=true")
        marathon.advance(30)


@pytest.mark.parametrize("fault", [Cut(after=100), Silence(after=0), Reply(503), Reply(401)])
def test_after_a_gap_everything_is_read_again(marathon: Emulated, fault: object) -> None:
    """There is no replay: what was told meanwhile was told to nobody."""
    rule = Rule(fault, path="/v2/events")  # type: ignore[arg-type]  # each of these is one
    with FaultProxy(marathon.url, [rule]) as proxy, watching(proxy.url, idle=Duration(500)) as watch:
        assert watch.until(lambda news: news.everything and watch.follower.connections > 0).everything
        proxy.wait_for(lambda one: len([x for x in one.exchanges if "/v2/events" in x.target]) > 0, Duration(60_000))
        marathon.ask("POST", "/v2/apps", {**APP, "id": "/shop/gap"})
        watch.until(lambda news: news.everything or "/shop/gap" in news.apps)
        marathon.ask("DELETE", "/v2/apps/shop/gap?force=true")
        marathon.advance(30)


def test_another_leader_is_found_and_everything_is_read_again() -> None:
    """Followers of the ensemble send listeners to it."""
    with emulated(Plan(by_hand=True, instances=2)) as two, watching(two.urls[1], two.urls[0]) as watch:
        watch.settle()
        before = watch.follower.connections
        two.control("lose-leader")
        two.advance(5)
        assert watch.until(lambda news: news.everything and watch.follower.connections > before).everything


def test_closing_ends_the_thread_at_once(marathon: Emulated) -> None:
    """Whether it waits for an event, or to connect again."""
    for url in (marathon.url, "http://127.0.0.1:9"):
        before = threading.active_count()
        with watching(url):
            assert before < threading.active_count()
        assert before == threading.active_count()


# ---- what an event names ----

LIGHT = '{"plan": {"id": "x", "steps": [{"actions": [{"action": "ScaleApplication", "app": "/a"}]}], "version": "v"}}'
HEAVY = (
    '{"plan": {"id": "x", "original": {"apps": []}, "target": {"apps": []}, "version": "v",'
    ' "steps": [{"actions": [{"type": "StartApplication", "app": "/a"}, {"type": "ScalePod", "pod": "/p"}]}]}}'
)


@pytest.mark.parametrize(
    ("data", "apps"),
    [
        ('{"appId": "/a", "taskId": "a.1", "ports": [1]}', {"/a"}),
        ('{"runSpecId": "/a", "agentId": null, "condition": "Running"}', {"/a"}),
        ('{"appDefinition": {"id": "/a", "unknown": {}}, "uri": "/v2/apps"}', {"/a"}),
        (LIGHT, {"/a"}),
        (HEAVY, {"/a"}),
        ('{"groupId": "/g", "version": "v"}', set()),
        ('{"eventType": "nobody_knows_this_one", "what": [1, {"a": null}]}', set()),
        ('{"appId": 7}', None),
        ("no json", None),
    ],
)
def test_an_event_names_apps_in_any_of_its_shapes(data: str, apps: set[str] | None) -> None:
    """Plans in either format; what cannot be read may be about anything."""
    assert apps == apps_of(Event("any", data))


@given(st.text(), st.text())
def test_no_event_ends_the_reading(kind: str, data: str) -> None:
    """Whatever it says."""
    found = apps_of(Event(kind, data))
    assert found is None or all(isinstance(app, str) for app in found)
