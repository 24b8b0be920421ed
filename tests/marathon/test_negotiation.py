"""What a client accepts, and points in time as they are read."""

from __future__ import annotations

import pytest

from roadstead_backends.marathon.emulator.http.messages import Request, wired
from roadstead_backends.marathon.emulator.http.negotiation import accepted, fits, sent
from roadstead_backends.marathon.emulator.http.system import System
from roadstead_backends.marathon.emulator.refusals import Refusal
from roadstead_backends.marathon.emulator.scheduling.moments import moment_of, written
from tests.marathon.replay import world_of


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (None, True),
        ("", True),
        ("*", True),
        ("application", True),
        ("APPLICATION/JSON", True),
        ("application/json;charset=utf-8", True),
        ("garbage, application/*", True),
        ("text/html, */*;q=0.1", True),
        ("json", False),
        ("text/*", False),
        ("application/vnd.x+json", False),
    ],
)
def test_types_are_accepted_whatever_their_case_and_without_a_subtype(header: str | None, holds: bool) -> None:
    """A missing or empty header accepts anything."""
    assert holds == fits(accepted(header), "application/json")


def test_types_are_liked_by_their_quality_and_then_the_narrower_ones() -> None:
    """Of equals the first."""
    ranges = accepted("*/*, text/*, text/html;q=0.4, a/b, c/d;q=1.0")
    assert [("a", "b"), ("c", "d"), ("text", "*"), ("*", "*"), ("text", "html")] == list(ranges)


@pytest.mark.parametrize(("header", "media"), [("Application/JSON; x=y", ("application", "json")), ("json", None)])
def test_the_type_of_a_body_has_to_have_two_parts(header: str, media: tuple[str, str] | None) -> None:
    """Unlike one that is accepted."""
    assert media == sent(header)


@pytest.mark.parametrize(
    ("header", "status", "kind"),
    [
        (None, 200, "text/plain"),
        ("text/*", 200, "text/plain"),
        ("text/html", 200, "text/html"),
        ("application/json, */*", 200, "application/json"),
        ("application/json;q=0.5, text/html", 200, "text/html"),
        ("application/xml", 204, None),
    ],
)
def test_a_ping_is_answered_in_the_form_that_is_liked_best(header: str | None, status: int, kind: str | None) -> None:
    """And says so; who accepts none of them gets no words at all."""
    headers = {"accept": header} if header is not None else {}
    answer = System.ping(Request(method="GET", path="/ping", headers=headers))
    assert (status, kind) == (answer.status, answer.content_type)
    assert ("Vary", "Accept") in wired(answer)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-01-02T03:04:05.678Z", "2020-01-02T03:04:05.678Z"),
        ("2020-01-02T03:04:05.678999999+01:00", "2020-01-02T02:04:05.678Z"),
        ("2020-01-02t03:04z", "2020-01-02T03:04:00.000Z"),
    ],
)
def test_a_point_in_time_has_an_offset(text: str, moment: str) -> None:
    """Seconds may be left out, and of their fraction milliseconds count."""
    assert moment == written(moment_of(text))


@pytest.mark.parametrize("text", ["2020", "2020-01-02", "2020-01-02T03:04:05", "20200102T030405Z", "2020-13-02T03:04Z"])
def test_what_is_less_than_a_point_in_time_is_refused(text: str) -> None:
    """Days are none, and neither are times that leave their offset open."""
    with pytest.raises(Refusal) as refused:
        moment_of(text)
    assert refused.value.message.startswith(f"Invalid timestamp provided '{text}'.")


def test_a_day_is_no_version() -> None:
    """Wherever one is asked for by its address."""
    world = world_of("filter")
    world.ask("POST", "/v2/apps", {"id": "/a", "cmd": "sleep 1", "instances": 0})
    asked = ("/v2/apps/a/versions/2020-01-01", "/v2/groups/versions/2020-01-01", "/v2/pods/a::versions/2020-01-01")
    assert [422] * 3 == [world.ask("GET", path).status for path in asked]


def test_a_follower_tells_headers_in_its_own_way() -> None:
    """It reads those that it knows and writes them anew; of those that vary it passes on the last."""
    world = world_of("follower")
    headers = world.ask("OPTIONS", "/v2/info").headers
    assert ("HEAD, GET, OPTIONS", "GMT") == (headers["Allow"], headers["Last-Modified"][-3:])
    assert "Accept-Encoding, User-Agent" == world.ask("GET", "/ping").headers["Vary"]
