"""The server's metrics in Prometheus' text format, under TensorFlow Serving's exact names, labels and buckets.

Written here and not with ``prometheus-client``, which appends ``_total`` to every counter; TensorFlow Serving's have no
such ending. Names and buckets are those of ``servables/tensorflow/util.cc``, ``batching/batching_session.cc`` and
TensorFlow's ``cc/saved_model/loader.cc``; the format that of ``util/prometheus_exporter.cc``. As there, latency counts
only requests that succeeded, and is in microseconds. Sums have all their digits here; TensorFlow Serving writes six.
"""

from bisect import bisect_right
from collections.abc import Iterator

import attrs

from roadstead_plugins.runtimes.tf_serving.server.status import Code

Labels = tuple[str, ...]


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Return the upper bounds of ``count`` buckets, each ``growth`` times the one before; above them is +Inf."""
    return tuple(scale * growth**power for power in range(count))


@attrs.define
class Counter:
    """Numbers that only rise, one for each combination of label values."""

    name: str
    labels: Labels
    values: dict[Labels, int] = attrs.field(factory=dict)

    def add(self, *values: str, by: int = 1) -> None:
        """Add to the number with these label values."""
        self.values[values] = self.values.get(values, 0) + by

    def lines(self) -> Iterator[str]:
        """Yield the metric's lines."""
        yield f"# TYPE {self.name} counter"
        for values, number in sorted(self.values.items()):
            yield f"{self.name}{{{_labels(self.labels, values)}}} {number}"


@attrs.define
class Histogram:
    """Distributions over the same buckets, one for each combination of label values."""

    name: str
    labels: Labels
    bounds: tuple[float, ...]
    counts: dict[Labels, list[int]] = attrs.field(factory=dict)
    sums: dict[Labels, float] = attrs.field(factory=dict)

    def observe(self, *values: str, value: float) -> None:
        """Count one value; a bound belongs to the bucket above it, as in TensorFlow's ``Sampler``."""
        counts = self.counts.setdefault(values, [0] * (len(self.bounds) + 1))
        counts[bisect_right(self.bounds, value)] += 1
        self.sums[values] = self.sums.get(values, 0.0) + value

    def lines(self) -> Iterator[str]:
        """Yield the metric's lines, counts cumulated."""
        yield f"# TYPE {self.name} histogram"
        for values, counts in sorted(self.counts.items()):
            labels = _labels(self.labels, values)
            comma = "," if labels else ""
            total = 0
            for bound, count in zip((*(f"{bound:g}" for bound in self.bounds), "+Inf"), counts, strict=True):
                total += count
                yield f'{self.name}_bucket{{{labels}{comma}le="{bound}"}} {total}'
            yield f"{self.name}_sum{{{labels}}} {self.sums[values]:.15g}"
            yield f"{self.name}_count{{{labels}}} {total}"


def _labels(names: Labels, values: Labels) -> str:
    escaped = (value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values)
    return ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True))


class Metrics:
    """All that is counted; used from the event loop's thread only."""

    def __init__(self) -> None:
        prefix = ":tensorflow:serving:"
        saved_model = ":tensorflow:cc:saved_model:"
        twenty_minutes = exponential(10, 1.8, 33)
        self._requests = Counter(f"{prefix}request_count", ("model_name", "status"))
        self._request_latency = Histogram(
            f"{prefix}request_latency", ("model_name", "API", "entrypoint"), twenty_minutes
        )
        self._runtime_latency = Histogram(f"{prefix}runtime_latency", ("model_name", "API", "runtime"), twenty_minutes)
        self._queuing = Histogram(
            f"{prefix}batching_session:queuing_latency", ("thread_pool_name",), exponential(100, 1.2, 52)
        )
        self._batch_runs = Counter(f"{prefix}batching_session:wrapped_run_count", ())
        self._warm_ups = Histogram(f"{prefix}model_warmup_latency", ("model_path", "status"), twenty_minutes)
        self._loads = Counter(f"{saved_model}load_attempt_count", ("model_path", "status"))
        self._load_latency = Counter(f"{saved_model}load_latency", ("model_path",))

    def request(self, model: str, code: Code) -> None:
        """Count a request that ended."""
        self._requests.add(model, code.name)

    def succeeded(self, model: str, *, api: str, entrypoint: str, seconds: float) -> None:
        """Record how long a request took that succeeded."""
        self._request_latency.observe(model, api, entrypoint, value=_micros(seconds))

    def ran(self, model: str, *, seconds: float) -> None:
        """Record how long TensorFlow took for a request, the wait for a batch included."""
        self._runtime_latency.observe(model, "Predict", "TF1", value=_micros(seconds))

    def queued(self, pool: str, *, seconds: float) -> None:
        """Record how long a request waited for its batch to start."""
        self._queuing.observe(pool, value=_micros(seconds))

    def batch_run(self) -> None:
        """Count a batch."""
        self._batch_runs.add()

    def load(self, path: str, *, succeeded: bool, seconds: float) -> None:
        """Count an attempt to load a SavedModel, and the time of one that succeeded."""
        self._loads.add(path, "success" if succeeded else "fail")
        if succeeded:
            self._load_latency.add(path, by=_micros(seconds))

    def warmed(self, path: str, *, seconds: float) -> None:
        """Record how long a model's warm-up took that succeeded."""
        self._warm_ups.observe(path, "OK", value=_micros(seconds))

    def page(self) -> str:
        """Return everything in Prometheus' text format."""
        every = (
            *(self._loads, self._load_latency, self._warm_ups, self._queuing, self._batch_runs),
            *(self._requests, self._request_latency, self._runtime_latency),
        )
        return "\n".join(line for metric in every for line in metric.lines()) + "\n"


def _micros(seconds: float) -> int:
    return int(seconds * 1e6)
