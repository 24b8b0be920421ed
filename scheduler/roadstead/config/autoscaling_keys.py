"""The keys of ``autoscaling``: bounds, targets for what is measured, and windows."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import attrs

from roadstead.autoscaling import Metric, MetricTarget, Windows
from roadstead.config.amounts import CPU, duration
from roadstead.config.entries import AutoscalingEntry
from roadstead.config.shapes import (
    Amount,
    Form,
    Forms,
    Key,
    Later,
    ListOf,
    Maybe,
    PluginName,
    Shape,
    Table,
    Whole,
    table,
)
from roadstead.model import MAX_REPLICAS
from roadstead.units import Cpus, Duration, UnitError

__all__ = ["autoscaling"]


@attrs.frozen(order=True)
class _Requests:
    """A number of requests, in thousandths."""

    milli: int

    @classmethod
    def parse(cls, text: str | int) -> _Requests:
        """Return the number that ``text`` says, a plain one."""
        problem = UnitError(f"{text!r} is no number of requests", "write it like 4 or 0.5")
        if str(text).endswith("m"):
            raise problem
        try:
            return cls(Cpus.parse(text).milli)
        except UnitError as error:
            raise problem from error

    def __str__(self) -> str:
        return f"{self.milli / 1000:g}"


_REQUESTS: Final = Amount(
    noun="a number of requests",
    examples="4 or 0.5",
    unit="requests",
    pattern="[0-9]+(\\.[0-9]+)?",
    parse=_Requests.parse,
    least=_Requests(1),
    most=_Requests(1_000_000_000),
)


def _target(metric: Metric, *, amount: _Requests | Cpus | Duration) -> MetricTarget:
    return MetricTarget(metric, amount.ms if isinstance(amount, Duration) else amount.milli)


def _form(metric: Metric, shape: Shape, doc: str) -> Form:
    key = Key(name=metric.value, field="amount", shape=shape, doc=doc, required=True)
    return Form(marker=key.name, table=Table(noun="a metric", keys=(key,), builds=partial(_target, metric)))


def _nothing(**_: Any) -> None:
    return None


def _later(name: str, reason: str, hint: str) -> Form:
    key = Key(name=name, field=None, shape=Later(reason, hint), doc="")
    return Form(marker=name, table=Table(noun="a metric", keys=(key,), builds=_nothing))


_METRIC: Final = Forms(
    noun="a metric",
    forms=(
        _form(Metric.CONCURRENCY, _REQUESTS, "so many requests at once for each replica"),
        _form(Metric.REQUESTS_PER_SECOND, _REQUESTS, "so many requests each second for each replica"),
        _form(Metric.LATENCY_P99, duration("1ms"), "99 of 100 requests are answered within this time"),
        _form(Metric.CPU, CPU, "so much CPU in use by each replica, on average"),
        _later("gpu", "nothing in this version measures how busy a GPU is", "use concurrency or latency_p99"),
        _later("schedule", "scaling by the time of day is not in this version", "use a metric that is measured"),
    ),
)

_WINDOW: Final = table(
    Windows,
    "window",
    Key(name="stable", shape=duration("1s", "24h"), doc="load is averaged over this time"),
    Key(name="panic", shape=duration("1s", "24h"), doc="and over this one, to see a surge early"),
    Key(
        name="scale_down_after",
        shape=duration("0s"),
        doc="fewer replicas only after fewer were enough for so long",
    ),
)


def autoscaling(policy: PluginName) -> Shape:
    """Return the mapping, or ``null``; ``policy`` is the name of a scaling policy."""
    return Maybe(
        table(
            AutoscalingEntry,
            "autoscaling",
            Key(name="min", shape=Whole(least=1, most=MAX_REPLICAS), doc="never fewer replicas than this"),
            Key(name="max", shape=Whole(least=1, most=MAX_REPLICAS), doc="never more replicas than this"),
            Key(name="policy", shape=policy, doc="the scaling policy, which says how many replicas a load makes"),
            Key(
                name="metrics",
                shape=ListOf(item=_METRIC, noun="metrics", least=1, most=10),
                doc="what one replica should have to do; of several metrics, the one that needs most replicas counts",
            ),
            Key(name="window", shape=_WINDOW, doc="over what times load is averaged"),
        )
    )
