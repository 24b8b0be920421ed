"""The reflector against an API server on a socket: what it shows, what it asks, and what becomes of faults."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import msgspec
import pytest

from roadstead.errors import BackendError, Forbidden, Rejected, Retryable, Unreachable
from roadstead.testing.http_faults import Cut, Fault, FaultProxy, Insert, Reply, Rule, Silence, Stale, Truncate
from roadstead.units import Duration
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.pace import Pace
from roadstead_backends.kubernetes.reflector import Following, Reflector
from roadstead_backends.kubernetes.transport import Transport
from tests.kubernetes.client.apiserver import PATH, ApiServer, api_server, gone
from tests.kubernetes.client.connecting import chance, connected

_SOON = Duration(60_000)
"""Longer than a call may last to which nobody answers, see ``PATIENT``."""
_QUICK = Following(page=2, idle=Duration(5_000), steady=Duration(0), pace=Pace(first=Duration(1), longest=Duration(50)))
_WATCH, _LIST = r"watch=1", r"things\?limit"


class Thing(msgspec.Struct, frozen=True, gc=False):
    """A thing, with what a test wrote into it."""

    metadata: Meta
    data: dict[str, str]


@attrs.define
class Scene:
    """An API server, a proxy before it, and who connects through that."""

    server: ApiServer
    proxy: FaultProxy
    transport: Transport
    woken: threading.Event = attrs.field(factory=threading.Event)

    @contextmanager
    def reflecting(self, following: Following = _QUICK) -> Iterator[Reflector[Thing]]:
        """Have the collection followed meanwhile."""
        reflector = Reflector(self.transport, PATH, Thing, wake=self.woken.set, following=following, chance=chance(0))
        reflector.start()
        try:
            yield reflector
        finally:
            reflector.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """All of it; at the end every fault of the script must have happened."""
    with api_server() as server, FaultProxy(server.url) as proxy, connected(tmp_path, proxy.url) as transport:
        yield Scene(server, proxy, transport)


def shown(reflector: Reflector[Thing]) -> dict[str, dict[str, str]]:
    """What a reflector shows, by name."""
    return {name: thing.data for (_, name), thing in reflector.objects().items()}


def becomes(reflector: Reflector[Thing], until: Callable[[], bool], within: Duration = _SOON) -> bool:
    """Wait until something is so, looking again whenever the reflector moved."""
    return reflector._wait(until, within)


def catches_up(scene: Scene, reflector: Reflector[Thing]) -> bool:
    """Wait until a reflector shows what the server has."""
    return becomes(reflector, lambda: shown(reflector) == scene.server.listed)


def in_trouble(reflector: Reflector[Thing]) -> BackendError:
    """Return why it is behind, once it is."""
    assert becomes(reflector, lambda: reflector.trouble is not None)
    assert reflector.trouble is not None
    return reflector.trouble.error


# ---- it lists, and follows ----


def test_it_lists_in_pages_and_then_follows(scene: Scene) -> None:
    """All pages are one state; what happens afterwards comes by the watch alone."""
    for name in "abcde":
        scene.server.put(name)
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        assert ([*"abcde"], 105) == (sorted(shown(reflector)), reflector.version)
        scene.server.wait_for_watch()
        scene.server.put("f", size="1")
        scene.server.put("a", size="2")
        scene.server.delete("b")
        assert catches_up(scene, reflector)
    pages = [one.query.get("continue") for one in scene.server.asked if "watch" not in one.query]
    assert [None, "105-3", "105-1"] == pages
    assert ["105"] == [one.query["resourceVersion"] for one in scene.server.watches]
    assert {"true"} == {one.query["allowWatchBookmarks"] for one in scene.server.watches}


def test_it_tells_what_changed_and_wakes(scene: Scene) -> None:
    """First everything, then by name; what is gone is ``None``."""
    scene.server.put("a")
    scene.server.put("b")
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        first = reflector.changes()
        assert (True, {"a", "b"}) == (first.everything, {name for _, name in first.objects})
        assert not reflector.changes()
        scene.server.wait_for_watch()
        scene.woken.clear()
        scene.server.delete("a")
        assert scene.woken.wait(_SOON.seconds)
        assert {("models", "a"): None} == dict(reflector.changes().objects)


def test_a_bookmark_is_where_the_next_watch_begins(scene: Scene) -> None:
    """Though nothing of ours has happened since: the server may forget what was before."""
    scene.server.put("a")
    with scene.reflecting() as reflector:
        scene.server.wait_for_watch()
        scene.server.pass_time()
        scene.server.bookmark()
        assert becomes(reflector, lambda: reflector.version == 102)
        scene.server.forget()
        scene.server.end_watches()
        scene.server.wait_for_watch(2)
        scene.server.put("b")
        assert catches_up(scene, reflector)
    assert (["101", "102"], 1) == (
        [one.query["resourceVersion"] for one in scene.server.watches],
        len(scene.server.lists),
    )


def test_everything_is_listed_now_and_then_though_nothing_is_wrong(scene: Scene) -> None:
    """An event that never came is found at last; what did not change is told to nobody."""
    scene.server.put("a")
    with scene.reflecting(attrs.evolve(_QUICK, listed_again=Duration(0))) as reflector:
        assert reflector.wait_until_synced(_SOON)
        reflector.changes()
        before = reflector.get(("models", "a"))
        scene.server.wait_for_watch()
        scene.server.end_watches()
        scene.server.wait_for_watch(2)
        assert 2 == len(scene.server.lists)
        assert before is reflector.get(("models", "a"))
        assert not reflector.changes()


# ---- what was written is seen ----


def test_it_waits_for_what_was_just_written(scene: Scene) -> None:
    """However late the watch is: not to know a write of one's own is how controllers make a second one."""
    with scene.reflecting() as reflector:
        assert reflector.catch_up(_SOON)
        scene.server.wait_for_watch()
        behind = Meta(resource_version=str(scene.server.version + 1))
        reflector.expect(behind)
        assert not reflector.catch_up(Duration(20))
        scene.server.put("a")
        assert reflector.catch_up(_SOON)
        assert {"a"} == set(shown(reflector))


def test_it_waits_for_what_was_just_removed(scene: Scene) -> None:
    """By its uid: another object of that name is another object."""
    uid = scene.server.put("a")["metadata"]["uid"]
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        scene.server.wait_for_watch()
        reflector.expect_gone(("models", "a"), uid)
        assert not reflector.catch_up(Duration(20))
        scene.server.delete("a")
        scene.server.put("a")
        assert reflector.catch_up(_SOON)
        assert becomes(reflector, lambda: "a" in shown(reflector))
        assert reflector.catch_up(Duration(0))


def test_it_can_be_told_to_look_at_once(scene: Scene) -> None:
    """Where the watch is silent, a list is the truth; whoever asked waits for one that began afterwards."""
    with scene.reflecting() as reflector:
        assert becomes(reflector, lambda: reflector._lines is not None)
        assert 1 == scene.proxy.silence(_WATCH)
        scene.server.put("a")
        assert not becomes(reflector, lambda: "a" in shown(reflector), Duration(50))
        assert reflector.refresh(_SOON)
        assert {"a"} == set(shown(reflector))
        assert reflector.trouble is None


# ---- what goes wrong on the way ----


@pytest.mark.parametrize("fault", [Cut(30), Cut(0), Truncate(30)], ids=["cut", "cut-at-once", "truncated"])
def test_a_broken_watch_goes_on_where_it_was(scene: Scene, fault: Cut | Truncate) -> None:
    """Nothing is lost, nothing is listed again: half a line is no event."""
    scene.server.put("a")
    scene.proxy.add(Rule(fault, path=_WATCH))
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        scene.server.put("b")
        assert catches_up(scene, reflector)
    assert 1 == len(scene.server.lists)


@pytest.mark.parametrize("fault", [Insert(gone()), Reply(410, gone())], ids=["in-the-watch", "instead-of-it"])
def test_what_the_server_has_forgotten_is_listed_anew(scene: Scene, fault: Insert | Reply) -> None:
    """With 410 comes a whole list, and what is missing in it is told as gone."""
    scene.server.put("a")
    scene.server.put("b")
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        reflector.changes()
        scene.server.wait_for_watch()
        scene.proxy.add(Rule(fault, path=_WATCH))
        with scene.proxy.refusing():
            scene.server.delete("a")
            scene.server.put("c")
            scene.server.forget()
        assert catches_up(scene, reflector)
        changes = reflector.changes()
        assert {"a": None, "c": True} == {name: one and True for (_, name), one in changes.objects.items()}
    assert 2 == len(scene.server.lists)


def test_a_list_that_expires_half_read_is_begun_anew(scene: Scene) -> None:
    """Two halves of two states would be none."""
    for name in "abc":
        scene.server.put(name)
    scene.proxy.add(Rule(Reply(410, b"{}"), path="continue="))
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        assert {*"abc"} == set(shown(reflector))
    assert 2 == len(scene.server.lists)


def test_a_stale_list_is_not_believed(scene: Scene) -> None:
    """It never shows less than what it has shown before: the list is asked for again until it is new enough."""
    scene.server.put("a")
    with scene.reflecting() as reflector:
        scene.server.wait_for_watch()
        scene.server.put("b")
        assert catches_up(scene, reflector)
        stale = scene.proxy.add(Rule(Stale(), path=_LIST, times=3))
        assert reflector.refresh(_SOON)
        assert {"a", "b"} == set(shown(reflector))
        assert 3 == sum(1 for one in scene.proxy.applied if one.rule is stale)


def test_a_watch_that_only_looks_alive_is_found_out(scene: Scene) -> None:
    """The connection is open and silent: after ``idle`` it counts as gone, and another one is made."""
    scene.proxy.add(Rule(Silence(), path=_WATCH))
    with scene.reflecting(attrs.evolve(_QUICK, idle=Duration(500))) as reflector:
        scene.server.wait_for_watch()
        scene.server.put("a")
        assert catches_up(scene, reflector)
    assert 1 == len(scene.server.lists)


def test_it_leaves_the_server_alone_for_as_long_as_that_asks(scene: Scene) -> None:
    """As with 429 while its cache is filled; no wait of ours is shorter."""
    scene.proxy.add(Rule(Reply(429, b"{}", {"Retry-After": "1"}), path=_WATCH))
    scene.server.put("a")
    with scene.reflecting() as reflector:
        assert isinstance(in_trouble(reflector), Retryable)
        scene.server.wait_for_watch()
        assert scene.server.watches[0].at - scene.server.lists[0].at >= 1
        assert reflector.is_synced


class _Longest(random.Random):
    """Chance that always draws the longest wait, and a very long one after three of them."""

    def randint(self, a: int, b: int) -> int:  # noqa: ARG002  # the least is never drawn
        """Return the greater one."""
        return b if b < 1_000 else 100 * b


def test_a_server_that_is_back_and_has_forgotten_is_listed_soon(scene: Scene) -> None:
    """However long the waits became while it was away: it answers now, and what it asks for is a list."""
    pace = Pace(first=Duration(20), longest=Duration(600_000))
    following = attrs.evolve(_QUICK, steady=Duration(5_000), pace=pace)
    scene.proxy.add(Rule(Reply(500, b"{}"), path=_WATCH, times=3))  # waits of 0.06 to 0.54 s, the next is 162 s
    scene.proxy.add(Rule(Reply(410, gone()), path=_WATCH))
    reflector = Reflector(scene.transport, PATH, Thing, following=following, chance=_Longest())
    reflector.start()
    try:
        assert reflector.wait_until_synced(_SOON)
        assert becomes(reflector, lambda: len(scene.proxy.applied) == 4)
        scene.server.put("a")
        assert catches_up(scene, reflector)
    finally:
        reflector.close()


def test_a_server_that_always_forgets_is_not_stormed(scene: Scene) -> None:
    """Each attempt waits longer: the official informer lists 42 times in 2 s here."""
    scene.proxy.add(Rule(Insert(gone()), path=_WATCH, times=None))
    pace = Pace(first=Duration(20), longest=Duration(10_000))
    with scene.reflecting(attrs.evolve(_QUICK, steady=Duration(5_000), pace=pace)) as reflector:
        assert becomes(reflector, lambda: len(scene.server.lists) >= 4)
        waits = [later.at - one.at for one, later in zip(scene.server.lists, scene.server.lists[1:], strict=False)]
        assert min(waits) >= 0.02


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(403, b'{"message": "User \\"me\\" cannot list resource"}'), Forbidden),
        (Reply(500, b"{}"), Retryable),
        (Reply(404, b"{}"), Rejected),
    ],
    ids=["forbidden", "failing", "missing"],
)
def test_why_it_is_behind_is_said_until_it_is_not(scene: Scene, reply: Reply, kind: type[BackendError]) -> None:
    """And it goes on trying, whatever it was: rights are given back, and kinds are installed."""
    rule = scene.proxy.add(Rule(reply, path=_LIST, times=None))
    scene.server.put("a")
    with scene.reflecting() as reflector:
        assert isinstance(in_trouble(reflector), kind)
        assert not reflector.is_synced
        scene.proxy.remove(rule)
        assert catches_up(scene, reflector)
        scene.server.wait_for_watch()
        assert becomes(reflector, lambda: reflector.trouble is None)


def test_a_watch_that_is_forbidden_stays_trouble_and_nothing_is_listed_again(scene: Scene) -> None:
    """A list that is allowed is no sign that it can be followed; and each attempt waits longer."""
    rule = scene.proxy.add(Rule(Reply(403, b'{"message": "User \\"me\\" cannot watch"}'), path=_WATCH, times=None))
    scene.server.put("a")
    pace = Pace(first=Duration(20), longest=Duration(10_000))
    with scene.reflecting(attrs.evolve(_QUICK, steady=Duration(5_000), pace=pace)) as reflector:
        assert isinstance(in_trouble(reflector), Forbidden)
        first = reflector.trouble
        assert first is not None
        assert scene.proxy.wait_for(lambda proxy: sum(one.rule is rule for one in proxy.applied) >= 4, _SOON)
        assert reflector.trouble is not None
        assert (first.since, {"a"}) == (reflector.trouble.since, set(shown(reflector)))
        assert time.monotonic() - first.since >= 3 * pace.first.seconds
    assert 1 == len(scene.server.lists)


def test_a_server_that_is_away_is_trouble_and_what_was_shown_stays(scene: Scene) -> None:
    """With since when, so that whoever asks can be patient."""
    scene.server.put("a")
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        scene.server.wait_for_watch()
        with scene.proxy.refusing():
            assert isinstance(in_trouble(reflector), Unreachable)
            first = reflector.trouble
            assert first is not None
            scene.proxy.wait_for(lambda _: False, Duration(100))
            assert reflector.trouble is not None
            assert first.since == reflector.trouble.since
            assert first.lasts().ms >= 100
            assert {"a"} == set(shown(reflector))
        scene.server.put("b")
        assert catches_up(scene, reflector)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ADDED", "object": {"metadata": {"name": 7}}}\n',
        b'{"type": "SURPRISE", "object": {"metadata": {"name": "x", "resourceVersion": "900"}, "data": {}}}\n',
        b'{"type": "ADDED", "object": {"metadata": {"name": "x", "resourceVersion": "abc"}, "data": {}}}\n',
    ],
    ids=["another-shape", "another-type", "no-number"],
)
def test_what_is_not_understood_is_trouble_and_listed_anew(scene: Scene, line: bytes) -> None:
    """Never skipped: an event that was not taken over would be missing for ever."""
    with scene.reflecting() as reflector:
        scene.server.wait_for_watch()
        with scene.server.lock:  # no list is answered before the trouble was seen
            scene.server.say(line)
            assert isinstance(in_trouble(reflector), Rejected)
        scene.server.put("a")
        assert catches_up(scene, reflector)
    assert 2 == len(scene.server.lists)


def test_whoever_is_woken_and_fails_does_not_end_it(scene: Scene) -> None:
    """A watch that ends in silence would be taken for a cluster where nothing happens."""
    calls = threading.Semaphore(0)

    def fail() -> None:
        calls.release()
        raise RuntimeError("not ours")

    reflector = Reflector(scene.transport, PATH, Thing, wake=fail, following=_QUICK, chance=chance(0))
    reflector.start()
    try:
        scene.server.put("a")
        assert calls.acquire(timeout=_SOON.seconds)
        assert "RuntimeError: not ours" in str(in_trouble(reflector))
        scene.server.put("b")
        assert catches_up(scene, reflector)
    finally:
        reflector.close()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_it_shows_what_the_server_has_in_the_end(scene: Scene, seed: int) -> None:
    """Changes and faults by chance, and nothing is lost, and nothing is shown that is gone."""
    dice = chance(seed)
    faults: list[Fault] = [Cut(50), Cut(400), Truncate(70), Insert(gone()), Reply(500), Reply(429), Silence(90)]
    following = attrs.evolve(_QUICK, idle=Duration(200))
    known: dict[tuple[str, str], Thing] = {}
    with scene.reflecting(following) as reflector:
        assert reflector.wait_until_synced(_SOON)
        for at in range(60):
            name = dice.choice("abcdefgh")
            if name in scene.server.listed and dice.random() < 0.4:
                scene.server.delete(name)
            else:
                scene.server.put(name, at=str(at))
            match dice.randrange(8):
                case 0:
                    scene.proxy.remove(scene.proxy.add(Rule(dice.choice(faults))))
                    scene.proxy.cut()
                case 1:
                    rule = scene.proxy.add(Rule(dice.choice(faults), path=dice.choice([_WATCH, _LIST])))
                    scene.proxy.cut()
                    scene.proxy.wait_for(lambda _: False, Duration(10))
                    scene.proxy.remove(rule)
                case 2:
                    scene.server.forget()
                case 3:
                    scene.server.bookmark()
                case 4:
                    changes = reflector.changes()
                    known = {} if changes.everything else known
                    known |= {key: thing for key, thing in changes.objects.items() if thing is not None}
                    known = {key: thing for key, thing in known.items() if changes.objects.get(key, thing) is not None}
        assert catches_up(scene, reflector)
        changes = reflector.changes()
        known = {} if changes.everything else known
        for key, thing in changes.objects.items():
            if thing is None:
                known.pop(key, None)
            else:
                known[key] = thing
        assert dict(reflector.objects()) == known


# ---- its end ----


def test_it_ends_at_once_while_it_waits_for_an_event(scene: Scene) -> None:
    """A daemon that stops does not wait for a watch to say something."""
    with scene.reflecting(attrs.evolve(_QUICK, idle=Duration(60_000))) as reflector:
        scene.server.wait_for_watch()
        began = time.monotonic()
        reflector.close()
        assert time.monotonic() - began < 30
        reflector._thread.join(30)
        assert not reflector._thread.is_alive()
        assert not reflector.catch_up(_SOON) or reflector.is_synced


def test_it_ends_at_once_while_it_waits_to_try_again(scene: Scene) -> None:
    """However long it was to wait."""
    slow = attrs.evolve(_QUICK, pace=Pace(first=Duration(60_000), longest=Duration(60_000)))
    scene.proxy.add(Rule(Reply(500, b"{}"), path=_LIST))
    with scene.reflecting(slow) as reflector:
        assert isinstance(in_trouble(reflector), Retryable)
        reflector.close()
        reflector._thread.join(30)
        assert not reflector._thread.is_alive()
