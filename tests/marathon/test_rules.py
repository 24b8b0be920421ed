"""The pure rules: upgrades, constraints, back-off, and that no request makes the emulator stumble."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead_backends.marathon.emulator.documents.json_text import parsed
from roadstead_backends.marathon.emulator.paths import path_of
from roadstead_backends.marathon.emulator.scheduling.backoff import RateLimiter
from roadstead_backends.marathon.emulator.scheduling.constraints import Place, meets
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps
from roadstead_backends.marathon.emulator.scheduling.upgrade import launchable, restart_strategy
from tests.marathon.replay import GROUPS, records, world_of

VOLUME = {"containerPath": "data", "mode": "RW", "persistent": {"size": 16}}
COUNTS = st.integers(1, 60)
SHARES = st.floats(0, 1)
PLACES = st.sampled_from([Place(hostname=f"h{index}", zone=f"z{index % 3}") for index in range(6)])


@given(COUNTS, COUNTS, SHARES, SHARES, st.booleans())
def test_an_upgrade_always_goes_on_and_never_kills_more_than_there_are(
    wanted: int, running: int, healthy: float, over: float, resident: bool
) -> None:
    """Whatever the capacities: there is something to kill or room to start, so that it comes to an end."""
    found = restart_strategy(wanted=wanted, running=running, healthy_share=healthy, over_share=over, resident=resident)
    assert 0 <= found.kill_now <= running
    left = running - found.kill_now
    assert launchable(wanted=wanted, most=found.most, old_active=left, new_started=0) > 0 or left < running


@given(COUNTS, COUNTS, SHARES, SHARES)
def test_an_upgrade_leaves_as_many_as_its_minimum_health_capacity_asks(
    wanted: int, running: int, healthy: float, over: float
) -> None:
    """What is killed at once leaves the share, unless there are more than are wanted at all."""
    found = restart_strategy(wanted=wanted, running=running, healthy_share=healthy, over_share=over, resident=False)
    assert running - found.kill_now >= min(running, wanted, int(wanted * healthy))


@given(COUNTS, COUNTS, st.integers(0, 60), st.integers(0, 60))
def test_never_more_is_started_than_is_wanted_or_fits(wanted: int, most: int, old: int, new: int) -> None:
    """New and old together stay below the most."""
    count = launchable(wanted=wanted, most=most, old_active=old, new_started=new)
    assert count >= 0
    assert not count or (new + count <= wanted and old + new + count <= most)


@given(st.lists(PLACES, max_size=8), PLACES)
def test_unique_and_max_per_one_are_the_same(placed: list[Place], place: Place) -> None:
    """One on each value."""
    unique = meets(place, ["hostname", "UNIQUE"], placed, 5, quota=True)
    assert unique == meets(place, ["hostname", "MAX_PER", "1"], placed, 5, quota=True)


@given(PLACES, st.sampled_from(["h1", "h.*", "z0", "nothing"]))
def test_like_and_unlike_are_opposites_where_there_is_a_value(place: Place, pattern: str) -> None:
    """And where there is none, only UNLIKE holds."""
    like, unlike = (meets(place, ["hostname", each, pattern], [], 1, quota=True) for each in ("LIKE", "UNLIKE"))
    assert like != unlike
    assert not meets(place, ["rack", "LIKE", pattern], [], 1, quota=True)
    assert meets(place, ["rack", "UNLIKE", pattern], [], 1, quota=True)


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 3), st.randoms())
def test_group_by_spreads_evenly(instances: int, groups: int, chance: random.Random) -> None:
    """Whatever the order of offers: no group has two more than another, and nothing is left over."""
    placed: list[Place] = []
    places = [Place(hostname=f"h{index}", zone=f"z{index % groups}") for index in range(2 * groups)]
    for _ in range(instances):
        chance.shuffle(places)
        fits = [
            place for place in places if meets(place, ["@zone", "GROUP_BY", str(groups)], placed, instances, quota=True)
        ]
        assert fits
        placed.append(fits[0])
    counts = Counter(place.zone for place in placed)
    assert max(counts.values()) - min([*counts.values(), *([0] if len(counts) < groups else [])]) <= 1


def _spec(seconds: float, factor: float, longest: float) -> RunSpec:
    document = {"backoffSeconds": seconds, "backoffFactor": factor, "maxLaunchDelaySeconds": longest}
    return RunSpec(id=path_of("/a"), document={"instances": 1, **document}, stamps=Stamps.of_new(0))


@given(st.integers(1, 30), st.floats(1, 5), st.integers(1, 600), st.integers(1, 12))
def test_delays_grow_by_the_factor_up_to_the_longest(seconds: int, factor: float, longest: int, failures: int) -> None:
    """From the first failure on; and a reset forgets them."""
    spec, limiter = _spec(seconds, factor, longest), RateLimiter()
    before = 0
    for now in range(failures):
        length = limiter.failed(spec, now) - now
        assert before <= length <= longest * 1000 or length == min(seconds, longest) * 1000
        before = length
    assert limiter.reset(spec)
    assert limiter.until(spec) is None


def test_no_request_makes_it_stumble() -> None:
    """Bodies that were recorded, with parts left out, exchanged and of other types: each gets an answer."""
    chance = random.Random(11)  # noqa: S311  # nothing is kept secret by it
    seeds = [
        (record["method"], record["path"], record["request"])
        for group in GROUPS
        for record in records(group)
        if isinstance(record.get("request"), dict) and "<" not in record["path"]
    ]
    parts = [part for _, _, body in seeds for part in body.items()]
    world = world_of("features")
    statuses: Counter[int] = Counter()
    for _ in range(200):
        method, path, body = chance.choice(seeds)
        statuses[world.ask(method, path, _altered(body, parts, chance)).status] += 1
        world.timeline.advance(chance.choice((0, 0, 0, 400)))
    for path in ("/v2/apps", "/v2/groups", "/v2/queue", "/v2/tasks", "/v2/pods/::status", "/v2/deployments"):
        assert world.ask("GET", path, query="embed=group.apps&embed=apps.tasks").status == 200
    assert statuses[201] > 0 < statuses[422]


_ODD: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], {}, 1e20, ["a"], {"a": 1}, [None], "*", 65_536]


def _altered(body: dict[str, Any], parts: list[tuple[str, Any]], chance: random.Random) -> dict[str, Any]:
    altered: dict[str, Any] = copy.deepcopy(body)
    for _ in range(chance.randint(1, 3)):
        key, value = chance.choice(parts)
        if altered and chance.random() < 0.6:
            key = chance.choice(list(altered))
            value = chance.choice(_ODD) if chance.random() < 0.7 else value
        altered[key] = json.loads(json.dumps(value))
    return altered


@pytest.mark.parametrize(
    "change",
    [
        {"constraints": [["rack", "GROUP_BY"]]},
        {"cpus": float("inf")},
        {"id": "/g/a", "role": "g", "container": {"type": "MESOS", "volumes": [VOLUME]}},
    ],
)
def test_what_stops_the_originals_launch_queue_is_refused(change: dict[str, Any]) -> None:
    """With its own words, and only where an instance is asked for: nobody learns to send it."""
    world = world_of("app-create")
    app = {"id": "/a", "cmd": "sleep 10", "cpus": 0.1, "mem": 16, **change}
    refused = world.ask("POST", "/v2/apps", raw=json.dumps(app).replace("Infinity", "1e400").encode())
    assert refused.status == 422
    assert "stops the launch queue of Marathon" in refused.text
    app["instances"] = 0
    kept = world.ask("POST", "/v2/apps", raw=json.dumps(app).replace("Infinity", "1e400").encode())
    assert kept.status == 201


@given(st.text())
def test_escaped_text_is_read_as_what_was_escaped(text: str) -> None:
    """Characters beyond the basic plane too, which JSON escapes in two halves."""
    assert [text] == parsed(json.dumps([text]).encode())


def test_half_a_character_is_no_stumbling_block() -> None:
    """It comes out as the replacement character, as it has no form in the answer's encoding."""
    assert "\ufffd" == parsed(rb'"\ud83d"')
