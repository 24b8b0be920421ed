"""What replicas use: what the sources say, and which of them is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.errors import Unreachable
from roadstead.units import Cpus, Memory
from roadstead.world import Usage
from roadstead_backends.kubernetes.transport import Transport
from roadstead_backends.kubernetes.usage import Sample, UsageReader, between, measured, sampled
from tests.kubernetes.client.apiserver import ApiServer, api_server
from tests.kubernetes.client.connecting import connected

_API = "/apis/metrics.k8s.io/v1beta1/namespaces/models/pods"
_PLACED = {"minilm-abc-1": "node-1", "minilm-abc-2": "node-2"}

# As a kubelet 1.37 prints it, shortened.
_KUBELET = """\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="server",namespace="models",pod="minilm-abc-1"} 4.2 1700000000000
# TYPE pod_cpu_usage_seconds_total counter
pod_cpu_usage_seconds_total{namespace="models",pod="minilm-abc-1"} %(cpu)s %(at)d
pod_cpu_usage_seconds_total{namespace="other",pod="minilm-abc-1"} 99 %(at)d
# TYPE pod_memory_working_set_bytes gauge
pod_memory_working_set_bytes{namespace="models",pod="minilm-abc-1"} 1.2058624e+07 %(at)d
pod_memory_working_set_bytes{namespace="models",pod="unrelated"} 7 %(at)d
scrape_error 0
"""


def _printed(cpu: float, at: int) -> bytes:
    return (_KUBELET % {"cpu": cpu, "at": at}).encode()


def _api(**containers: list[dict[str, str]]) -> bytes:
    items = [
        {"metadata": {"name": name}, "containers": [{"name": "c", "usage": usage} for usage in usages]}
        for name, usages in containers.items()
    ]
    return json.dumps({"kind": "PodMetricsList", "items": items}).encode()


# ---- what they say ----


def test_the_containers_of_a_pod_are_added_up() -> None:
    """In whatever units the metrics API has them; what one does not say is not known of the pod."""
    said = measured(
        _api(
            one=[{"cpu": "123456789n", "memory": "10Mi"}, {"cpu": "2m", "memory": "1Ki"}],
            two=[{"cpu": "1", "memory": "5"}, {"cpu": "1"}],
            three=[],
        )
    )
    assert {
        "one": Usage(cpu=Cpus(126), memory=Memory(10 * 2**20 + 2**10)),
        "two": Usage(cpu=Cpus(2_000)),
    } == said


@pytest.mark.parametrize("body", [b"", b"[]", b'{"items": 7}', b'{"items": [{"metadata": 7}]}'])
def test_what_is_not_from_the_metrics_api_is_refused(body: bytes) -> None:
    """A proxy's page is no measurement."""
    with pytest.raises(ValueError, match="PodMetricsList"):
        measured(body)


def test_a_kubelet_counts_of_our_namespace() -> None:
    """Per pod, with the moment of counting; other namespaces and containers by themselves are left out."""
    said = sampled(_printed(4.5, 1_700_000_000_123).decode(), "models", now=7)
    assert Sample(cpu_seconds=4.5, at=1_700_000_000_123, memory=12_058_624) == said["minilm-abc-1"]
    assert {"minilm-abc-1", "unrelated"} == said.keys()
    without = sampled('pod_cpu_usage_seconds_total{pod="a",namespace="models"} 1', "models", now=7)
    assert {"a": Sample(cpu_seconds=1.0, at=7)} == without


def test_cpu_is_the_difference_of_two_readings() -> None:
    """Half a second of work in a second is half a processor."""
    before = Sample(cpu_seconds=1.0, at=10_000, memory=1)
    after = Sample(cpu_seconds=1.5, at=11_000, memory=2)
    assert Usage(cpu=Cpus(500), memory=Memory(2)) == between(before, after)


@pytest.mark.parametrize(
    "before",
    [
        None,
        Sample(memory=1),
        Sample(cpu_seconds=9.0, at=10_000),
        Sample(cpu_seconds=1.0, at=10_900),
        Sample(cpu_seconds=1.0, at=12_000),
    ],
    ids=["first", "without-cpu", "counted-anew", "too-close", "backwards"],
)
def test_cpu_that_cannot_be_told_is_unknown(before: Sample | None) -> None:
    """And never 0; memory is known all the same."""
    assert Usage(memory=Memory(2)) == between(before, Sample(cpu_seconds=1.5, at=11_000, memory=2))


@given(
    st.floats(min_value=0, max_value=1e9),
    st.floats(min_value=0, max_value=1e4),
    st.integers(min_value=500, max_value=10**7),
)
def test_what_was_used_is_what_was_counted(start: float, used: float, apart: int) -> None:
    """To a thousandth of a processor, over any time."""
    usage = between(Sample(cpu_seconds=start, at=0), Sample(cpu_seconds=start + used, at=apart))
    assert usage.cpu is not None
    assert usage.cpu.milli == pytest.approx((start + used - start) / apart * 1_000_000, abs=1)


# ---- who is asked ----


@attrs.define
class Scene:
    """An API server, a reader, and the time that it goes by."""

    server: ApiServer
    transport: Transport
    time: float = 1_000.0
    reader: UsageReader = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.reader = UsageReader(self.transport, "models", "app=x", now=lambda: self.time, epoch=lambda: self.time)

    def read_after(self, seconds: float) -> dict[str, Usage]:
        """Read, so much later."""
        self.time += seconds
        return dict(self.reader.read(_PLACED))

    @property
    def asked(self) -> list[str]:
        """The paths that were asked for since this was last looked at."""
        paths = [one.path for one in self.server.asked]
        self.server.asked.clear()
        return paths


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """All of it."""
    with api_server() as server, connected(tmp_path, server.url) as transport:
        yield Scene(server, transport)


def _kubelet(node: str) -> str:
    return f"/api/v1/nodes/{node}/proxy/metrics/resource"


def test_the_metrics_api_is_asked_once_for_all(scene: Scene) -> None:
    """For our pods alone, and not more often than it has something new."""
    scene.server.answer(_API, (200, _api(**{"minilm-abc-1": [{"cpu": "1", "memory": "1"}], "gone": [{"cpu": "1"}]})))
    known = {"minilm-abc-1": Usage(cpu=Cpus(1_000), memory=Memory(1))}
    assert [known, known, known] == [scene.read_after(seconds) for seconds in (0, 5, 10)]
    assert {"labelSelector": "app=x"} == scene.server.asked[0].query
    assert [_API, _API] == scene.asked
    assert () == scene.reader.notes


@pytest.mark.parametrize("status", [404, 403, 503])
def test_without_a_metrics_api_kubelets_are_asked(scene: Scene, status: int) -> None:
    """Those with a replica of ours; CPU is known from the second reading on."""
    scene.server.answer(_API, (status, b"{}"))
    scene.server.answer(_kubelet("node-1"), (200, _printed(1.0, 1_000)), (200, _printed(6.0, 11_000)))
    scene.server.answer(_kubelet("node-2"), (502, b"no such host"))
    assert {"minilm-abc-1": Usage(memory=Memory(12_058_624))} == scene.read_after(0)
    assert {_API, _kubelet("node-1"), _kubelet("node-2")} == set(scene.asked)
    assert {"minilm-abc-1": Usage(cpu=Cpus(500), memory=Memory(12_058_624))} == scene.read_after(10)
    assert _API not in scene.asked
    assert () == scene.reader.notes


@pytest.mark.parametrize("body", [b"<html>", _api(a=[{"cpu": "much"}])], ids=["a-page", "no-quantity"])
def test_a_metrics_api_that_is_not_understood_is_as_good_as_none(scene: Scene, body: bytes) -> None:
    """Whoever answers in its place is no reason to know nothing."""
    scene.server.answer(_API, (200, body))
    scene.server.answer(_kubelet("node-1"), (200, _printed(1.0, 1_000)))
    assert {"minilm-abc-1"} == scene.read_after(0).keys()


def test_a_kubelet_that_has_counted_nothing_new_says_what_it_said(scene: Scene) -> None:
    """It is read more often than it counts: the same sample twice is no sign that nothing is known."""
    readings = [(200, _printed(cpu, at)) for cpu, at in ((1.0, 1_000), (6.0, 11_000), (6.0, 11_000), (16.0, 21_000))]
    scene.server.answer(_kubelet("node-1"), *readings)
    known = [scene.read_after(10).get("minilm-abc-1", Usage()).cpu for _ in readings]
    assert [None, Cpus(500), Cpus(500), Cpus(1_000)] == known


def test_a_source_that_comes_is_found(scene: Scene) -> None:
    """After a minute it is asked again."""
    assert {} == scene.read_after(0)
    scene.server.answer(_API, (200, _api(**{"minilm-abc-1": [{"cpu": "1", "memory": "1"}]})))
    assert {} == scene.read_after(30)
    assert {"minilm-abc-1"} == scene.read_after(40).keys()


def test_where_nobody_may_be_asked_that_is_said(scene: Scene) -> None:
    """Everything is unknown then, with why; and nobody is bothered all the time."""
    forbidden = b'{"reason": "Forbidden", "message": "User \\"me\\" cannot get resource"}'
    for path in (_API, _kubelet("node-1"), _kubelet("node-2")):
        scene.server.answer(path, (403, forbidden))
    assert [{}, {}] == [scene.read_after(seconds) for seconds in (0, 10)]
    assert 2 == len(scene.asked)
    assert ["the metrics API cannot", "the kubelets cannot"] == [
        note[: note.index(" be")] for note in scene.reader.notes
    ]


def test_what_was_read_long_ago_is_unknown(scene: Scene) -> None:
    """A node that does not answer any more says nothing about now."""
    scene.server.answer(_kubelet("node-1"), (200, _printed(1.0, 1_000)), (502, b""))
    assert {"minilm-abc-1"} == scene.read_after(0).keys()
    assert {"minilm-abc-1"} == scene.read_after(30).keys()
    assert {} == scene.read_after(31)


def test_a_kubelet_that_does_not_answer_is_left_alone_for_a_minute(scene: Scene) -> None:
    """The others are read meanwhile; then it is asked again, and counts."""
    scene.server.answer(_API, (404, b"{}"))
    scene.server.answer(_kubelet("node-1"), (502, b"no route"), (200, _printed(1.0, 61_000)))
    scene.server.answer(_kubelet("node-2"), (200, b""))
    asked: Counter[str] = Counter()
    for _ in range(6):
        scene.read_after(10)
        asked.update(path for path in scene.asked if path != _API)
    assert {_kubelet("node-1"): 1, _kubelet("node-2"): 6} == asked
    assert {"minilm-abc-1"} == scene.read_after(10).keys()
    asked.update(path for path in scene.asked if path != _API)
    assert {_kubelet("node-1"): 2, _kubelet("node-2"): 7} == asked


def test_a_cluster_that_is_away_is_an_error(scene: Scene) -> None:
    """Not to be taken for one that measures nothing."""
    scene.transport.close()
    with pytest.raises(Unreachable):
        scene.read_after(0)
