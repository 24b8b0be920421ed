"""What requests of ours to a Marathon are called in the table of faults, and how it refuses there."""

from __future__ import annotations

import json

import pytest

from roadstead.spi.asked import Request
from roadstead.testing.live_faults.calls import Call, Kind, Sort
from roadstead_backends.marathon.faults import Locked, refusal
from tests.marathon_backend.live import EFFECTS, MarathonDialect

_APP = "/v2/apps/stories/anchor/abcdefghij"


@pytest.mark.parametrize(
    ("method", "target", "name", "sort"),
    [
        ("GET", "/v2/info", "GET info", Sort.READ),
        ("GET", "/v2/deployments", "GET deployments", Sort.READ),
        ("GET", "/v2/queue", "GET queue", Sort.READ),
        ("GET", "/v2/apps?label=a%3D%3Db&embed=apps.tasks", "list apps", Sort.LIST),
        ("GET", _APP, "GET app", Sort.READ),
        ("GET", "/v2/events", "watch events", Sort.WATCH),
        ("POST", "/v2/apps?force=false", "POST apps", Sort.WRITE),
        ("PUT", f"{_APP}?force=false", "PUT app", Sort.WRITE),
        ("DELETE", f"{_APP}?force=false", "DELETE app", Sort.WRITE),
        ("POST", "/v2/tasks/delete?scale=true&force=false", "POST tasks/delete", Sort.WRITE),
    ],
)
def test_a_request_is_called_by_what_it_does_and_to_what_kind(method: str, target: str, name: str, sort: Sort) -> None:
    """Names of apps differ from one telling to the next, so they are left out."""
    assert Call(name, sort) == MarathonDialect().call(method, target)


def test_a_409_on_purpose_is_a_lock() -> None:
    """With the id of a deployment that is over, as one may be until it is looked for."""
    reply = MarathonDialect().refusal(409)
    request = Request(cluster="dc1", method="PUT", path=_APP)
    error = refusal(request, reply.status, reply.headers, reply.body)
    assert isinstance(error, Locked)
    assert (json.loads(reply.body)["deployments"][0]["id"],) == error.deployments


def test_nothing_is_tried_that_a_marathon_never_answers() -> None:
    """It has no versions to go on from; and a stream that falls silent is one of its faults."""
    assert Kind.EXPIRED not in {kind for kinds in EFFECTS.values() for kind in kinds}
    assert Kind.SILENT in EFFECTS[Sort.WATCHED]
