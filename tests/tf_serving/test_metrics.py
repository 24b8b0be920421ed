"""Metrics in Prometheus' text format, under TensorFlow Serving's names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from roadstead_plugins.runtimes.tf_serving.server.metrics import Histogram, Metrics, exponential
from roadstead_plugins.runtimes.tf_serving.server.status import Code


def _samples(page: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return each sample by its name and the values of its labels, read line by line: a parser would mend the names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, labels, value in re.findall(r"^([a-z:_]+)\{(.*)\} (\S+)$", page, re.MULTILINE):
        found.setdefault(name, {})[tuple(re.findall(r'="([^"]*)"', labels))] = float(value)
    return found


def test_the_names_are_tensorflow_servings_own() -> None:
    """A dashboard made for TensorFlow Serving finds every series that it asks for."""
    metrics = Metrics()
    metrics.request("m", Code.OK)
    metrics.request("m", Code.NOT_FOUND)
    metrics.succeeded("m", api="Predict", entrypoint="GRPC", seconds=0.002)
    metrics.ran("m", seconds=0.001)
    metrics.queued("pool", seconds=0.001)
    metrics.batch_run()
    metrics.load("/models/m/1", succeeded=True, seconds=1.5)
    found = _samples(metrics.page())
    assert {("m", "OK"): 1, ("m", "NOT_FOUND"): 1} == found[":tensorflow:serving:request_count"]
    assert {("m", "Predict", "GRPC"): 2000} == found[":tensorflow:serving:request_latency_sum"]
    assert {("m", "Predict", "TF1"): 1} == found[":tensorflow:serving:runtime_latency_count"]
    assert {("pool",): 1} == found[":tensorflow:serving:batching_session:queuing_latency_count"]
    assert {("/models/m/1", "success"): 1} == found[":tensorflow:cc:saved_model:load_attempt_count"]
    assert {("/models/m/1",): 1_500_000} == found[":tensorflow:cc:saved_model:load_latency"]


@given(st.lists(st.integers(0, 200)))
def test_buckets_count_what_lies_below_them(values: list[int]) -> None:
    """Each bucket counts what is smaller than its bound, and +Inf counts everything."""
    histogram = Histogram("h", (), exponential(10, 2, 4))
    for value in values:
        histogram.observe(value=value)
    counted = {
        labels[-1]: count for labels, count in _samples("\n".join(histogram.lines()) + "\n").get("h_bucket", {}).items()
    }
    expected = {f"{bound:g}": sum(value < bound for value in values) for bound in (10, 20, 40, 80)}
    assert ({**expected, "+Inf": len(values)} if values else {}) == counted


@given(st.text(max_size=20))
def test_any_name_of_a_model_can_be_a_label(name: str) -> None:
    """A client chooses the name that it asks for: quotes, backslashes and line breaks change no other line."""
    metrics = Metrics()
    metrics.request(name, Code.NOT_FOUND)
    lines = metrics.page().split("\n")
    assert 1 == sum(line.startswith(":tensorflow:serving:request_count{") and line.endswith("} 1") for line in lines)
