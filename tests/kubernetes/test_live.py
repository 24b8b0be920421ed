"""What requests of ours to an API server are called in the table of faults."""

from __future__ import annotations

import pytest

from roadstead.testing.live_faults.calls import Call, Sort
from tests.cluster.api import Json
from tests.kubernetes.following import unasked
from tests.kubernetes.live import KubernetesDialect

_GROUPS = "/apis/apps/v1/namespaces/live/replicasets"


@pytest.mark.parametrize(
    ("method", "target", "name", "sort"),
    [
        ("GET", f"{_GROUPS}?limit=1&labelSelector=a", "ask replicasets", Sort.READ),
        ("GET", f"{_GROUPS}?labelSelector=a&limit=500", "list replicasets", Sort.LIST),
        ("GET", f"{_GROUPS}?labelSelector=a&watch=1&resourceVersion=7", "watch replicasets", Sort.WATCH),
        ("GET", f"{_GROUPS}/stories-anchor-abc", "GET one of replicasets", Sort.READ),
        ("PATCH", f"{_GROUPS}/stories-anchor-abc?fieldManager=roadstead", "PATCH replicasets", Sort.WRITE),
        ("POST", "/api/v1/namespaces/live/pods/a/eviction", "POST pods/eviction", Sort.WRITE),
        ("GET", "/api/v1/pods?limit=500&fieldSelector=x", "list pods of all", Sort.LIST),
        ("GET", "/api/v1/nodes?watch=1", "watch nodes", Sort.WATCH),
        ("GET", "/version", "GET version", Sort.READ),
    ],
)
def test_a_request_is_called_by_what_it_does_and_to_what_kind(method: str, target: str, name: str, sort: Sort) -> None:
    """Names of objects differ from one telling to the next, so they are left out."""
    assert Call(name, sort) == KubernetesDialect().call(method, target)


@pytest.mark.parametrize("target", ["/apis/metrics.k8s.io/v1beta1/namespaces/live/pods", "/api/v1/nodes/a/proxy/stats"])
def test_what_is_measured_is_no_point_of_a_story(target: str) -> None:
    """It is asked for every few seconds, in some tellings and not in others."""
    assert KubernetesDialect().call("GET", target) is None


def test_every_watch_goes_on_from_a_list() -> None:
    """A client that lost what it follows begins with one, which may be an old one."""
    dialect = KubernetesDialect()
    for watch in (*dialect.watches, *dialect.other_watches):
        assert f"list {watch.removeprefix('watch ')}" == dialect.list_of(watch)


def test_pods_beyond_the_count_of_their_group_were_asked_for_by_nobody() -> None:
    """A controller whose reply was lost makes one more; too few of one group make no room for too many of another."""
    pods = [_owned("a")] * 4 + [_owned("b")] * 1 + [{"metadata": {}}]
    assert 1 == unasked(pods, [_counting("a", 3), _counting("b", 2)])
    assert 0 == unasked(pods, [_counting("a", 4), _counting("b", 1)])
    assert 0 == unasked(pods, [])


def _owned(uid: str) -> Json:
    return {"metadata": {"ownerReferences": [{"uid": uid}]}}


def _counting(uid: str, replicas: int) -> Json:
    return {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
