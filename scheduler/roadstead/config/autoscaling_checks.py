"""What no single key of ``autoscaling`` can know: bounds that exclude each other, and metrics that nobody can measure.

Pure: each check yields what it finds, as those of :mod:`roadstead.config.checks`, which calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from roadstead.autoscaling import Metric, MetricTarget
from roadstead.config.entries import AutoscalingEntry, DeploymentEntry, FleetEntry
from roadstead.config.finding import Finding
from roadstead.config.places import Places
from roadstead.config.problems import Path, ProblemCode
from roadstead.model import Reach

__all__ = ["autoscaling_findings"]

_combination: Final = partial(Finding, code=ProblemCode.COMBINATION)


def autoscaling_findings(
    fleet: FleetEntry, name: str, places: Places, counts_requests: Callable[[str], bool]
) -> Iterator[Finding]:
    """Yield everything that is wrong with the ``autoscaling`` of a deployment.

    ``counts_requests`` says of a runtime whether its servers count their own requests.
    """
    deployment = fleet.deployments[name]
    spec = deployment.autoscaling
    if spec is None:
        return
    here: Path = ("deployments", name, "autoscaling")
    yield from _beside_replicas(name, places, here)
    yield from _bounds(spec, here)
    yield from _windows(spec, here)
    seen: set[Metric] = set()
    for index, target in enumerate(spec.metrics):
        if target is None:
            continue
        at = (*here, "metrics", index, target.metric.value)
        if target.metric in seen:
            what = f"{target.metric.value} stands here twice"
            yield _combination(path=at, what=what, hint="keep one of them")
        seen.add(target.metric)
        yield from _measured(fleet, deployment, target, at, counts_requests)


def _beside_replicas(name: str, places: Places, here: Path) -> Iterator[Finding]:
    """Look whether one place says both; a deployment's own word replaces that of ``defaults``."""
    for above in (("deployments", name), ("defaults",)):
        both = tuple((*above, key) for key in ("replicas", "autoscaling"))
        if all(map(places.written, both)):
            what = "replicas and autoscaling both say how many replicas there are"
            yield _combination(path=(*here[:-1], "replicas"), what=what, hint="keep one of them", involving=(here,))
            return
        if any(map(places.written, both)):
            return


def _bounds(spec: AutoscalingEntry, here: Path) -> Iterator[Finding]:
    if spec.min > spec.max:
        what = f"min {spec.min} is more than max {spec.max}"
        hint = f"lower min, or raise max to {spec.min}"
        yield _combination(path=(*here, "min"), what=what, hint=hint, involving=((*here, "max"),))


def _windows(spec: AutoscalingEntry, here: Path) -> Iterator[Finding]:
    window = spec.window
    if window.panic > window.stable:
        panic, stable = (*here, "window", "panic"), (*here, "window", "stable")
        what = f"the panic window of {window.panic} is longer than the stable one of {window.stable}"
        yield _combination(path=panic, what=what, hint="lower panic: a tenth of stable is usual", involving=(stable,))


def _measured(
    fleet: FleetEntry,
    deployment: DeploymentEntry,
    target: MetricTarget,
    at: Path,
    counts_requests: Callable[[str], bool],
) -> Iterator[Finding]:
    """Look whether anybody can measure it: the gateway, or the servers, where they count and can be asked."""
    if target.metric not in _OF_REQUESTS or deployment.via_of(fleet.gateways) is not None:
        return
    name = target.metric.value
    involving: tuple[Path, ...] = ((*at[:2], "gateway"), ("gateways",), (*at[:2], "runtime", "name"))
    if target.metric is Metric.LATENCY_P99:
        what, hint = f"without a gateway nothing measures {name}", "declare a gateway, or use concurrency or cpu"
        yield _combination(path=at, what=what, hint=hint, involving=involving)
        return
    runtime = deployment.runtime.name
    silent = [
        cluster
        for cluster in deployment.chosen_of(fleet.clusters)
        if cluster in fleet.clusters and fleet.clusters[cluster].reach is Reach.NONE
    ]
    if silent:
        what = f"without a gateway nothing measures {name} on cluster {silent[0]!r}, whose replicas cannot be asked"
        yield _combination(path=at, what=what, hint="use cpu", involving=involving)
    elif not counts_requests(runtime):
        what = f"nothing measures {name}: there is no gateway, and servers of runtime {runtime!r} do not count requests"
        yield _combination(path=at, what=what, hint="declare a gateway, or use cpu", involving=involving)


_OF_REQUESTS: Final = frozenset({Metric.CONCURRENCY, Metric.REQUESTS_PER_SECOND, Metric.LATENCY_P99})
