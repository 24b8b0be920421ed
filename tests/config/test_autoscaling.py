"""What a fleet file says of scaling by load."""

from __future__ import annotations

from pathlib import Path

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.config import read_fleet
from roadstead.model import Deployment
from roadstead.units import Duration
from tests.config.corpus import built_in

HEAD = """\
version: 1
fleet: shop
clusters: {here: {backend: local}}
gateways: {edge: {kind: envoy}}
"""
PLAIN = "{max: 8, metrics: [{concurrency: 4}]}"


def declared(keys: str, defaults: str = "{}") -> Deployment:
    """Return the one deployment that has these keys."""
    text = f"{HEAD}defaults: {defaults}\ndeployments:\n  minilm: {{model: {{source: m}}, {keys}}}\n"
    return read_fleet(Path("/fleets/fleet.yaml"), built_in(), text=text).deployments["minilm"]


def test_bounds_targets_and_windows_are_read_as_exact_numbers() -> None:
    """Thousandths of requests and of cores, milliseconds of latency, and ``min`` as the declared number."""
    deployment = declared(
        "autoscaling: {min: 2, max: 9, policy: concurrency, window: {stable: 90s, panic: 9s, scale_down_after: 0s}, "
        "metrics: [{concurrency: 2.5}, {requests_per_second: 0.125}, {latency_p99: 200ms}, {cpu: 500m}]}"
    )
    expected = AutoscalingSpec(
        min=2,
        max=9,
        policy="concurrency",
        metrics=(
            MetricTarget(Metric.CONCURRENCY, 2_500),
            MetricTarget(Metric.REQUESTS_PER_SECOND, 125),
            MetricTarget(Metric.LATENCY_P99, 200),
            MetricTarget(Metric.CPU, 500),
        ),
        windows=Windows(stable=Duration(90_000), panic=Duration(9_000), scale_down_after=Duration(0)),
    )
    assert (expected, 2) == (deployment.autoscaling, deployment.replicas)


def test_windows_that_are_not_written_are_those_of_the_documentation() -> None:
    """A minute, six seconds, and five minutes before anything goes; from one replica on."""
    spec = AutoscalingSpec(min=1, max=8, metrics=(MetricTarget(Metric.CONCURRENCY, 4_000),))
    assert spec == declared(f"autoscaling: {PLAIN}").autoscaling
    assert (60_000, 6_000, 300_000) == (
        spec.windows.stable.ms,
        spec.windows.panic.ms,
        spec.windows.scale_down_after.ms,
    )


def test_the_word_of_a_deployment_replaces_that_of_the_defaults() -> None:
    """A number beside default scaling is that number, scaling beside a default number is scaling, null is neither."""
    scaling = f"{{autoscaling: {PLAIN}}}"
    assert (3, None) == (declared("replicas: 3", scaling).replicas, declared("replicas: 3", scaling).autoscaling)
    assert 8 == getattr(declared(f"autoscaling: {PLAIN}", "{replicas: 5}").autoscaling, "max", None)
    assert 8 == getattr(declared("owner: me", scaling).autoscaling, "max", None)
    assert (1, None) == (
        declared("autoscaling: null", scaling).replicas,
        declared("autoscaling: null", scaling).autoscaling,
    )


def test_servers_that_count_their_requests_are_enough_without_a_gateway() -> None:
    """The servers of TensorFlow Serving do, so that requests can be scaled on where clients follow the endpoints."""
    deployment = declared(
        "gateway: null, autoscaling: {max: 4, metrics: [{requests_per_second: 20}, {concurrency: 4}]}"
    )
    assert (None, 4) == (deployment.via, getattr(deployment.autoscaling, "max", None))
