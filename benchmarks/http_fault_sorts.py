"""The sorts of clusters that `benchmarks.http_faults` tells stories on: what each consists of, and what is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import attrs

from roadstead.testing.live_faults.calls import EFFECTS, Dialect, Kind
from roadstead.testing.live_faults.calls import Sort as CallSort
from roadstead.testing.live_faults.trials import Furnish
from tests.kubernetes.ground import VARIANTS, standin_ground, started
from tests.kubernetes.live import KubernetesDialect
from tests.marathon_backend import live as marathon

__all__ = ["SORTS", "Sort"]

Grounds = Callable[[str, str], contextlib.AbstractContextManager[Furnish]]


@attrs.frozen(kw_only=True)
class Sort:
    """A sort of cluster: what is started once, what a worker needs of that for a variant, and how it is spoken to.

    ``effects`` are what can go wrong there, besides the loss of who answers where it ``elects`` one. ``beside`` is what
    stands there for a deployment, and ``left_out`` what is not tried, and where it is.
    """

    what: str
    variants: tuple[str, ...]
    started: Callable[[], contextlib.AbstractContextManager[object]]
    furnished: Grounds
    dialect: Dialect
    beside: str
    left_out: tuple[str, ...]
    effects: Mapping[CallSort, tuple[Kind, ...]] = EFFECTS
    elects: bool = False


@contextlib.contextmanager
def _kubernetes(place: str, variant: str) -> Iterator[Furnish]:
    with standin_ground(Path(place), variant) as ground:
        yield ground.cluster


@contextlib.contextmanager
def _marathon(_place: str, variant: str) -> Iterator[Furnish]:
    with marathon.ground(variant) as ground:
        yield ground.cluster


_TWO_FAULTS: Final = "two faults of one story, and faults of the daemon's own process and files: faults.md"
SORTS: Final[Mapping[str, Sort]] = MappingProxyType(
    {
        "kubernetes": Sort(
            what="a real control plane, from etcd to kube-scheduler, and stand-in kubelets",
            variants=tuple(VARIANTS),
            started=started,
            furnished=_kubernetes,
            dialect=KubernetesDialect(),
            beside="groups, replicas, Services, budgets, what is held",
            left_out=(
                "a watch that falls silent and stays open, which takes 90 s to be found out: tests/kubernetes/client",
                f"{_TWO_FAULTS}, on simulated clusters",
                "calls for observed use, which depend on when they fall due; a refusal: tests/kubernetes/client",
            ),
        ),
        "marathon": Sort(
            what="an **emulated** Marathon of two instances, whose tasks are pretended",
            variants=tuple(marathon.VARIANTS),
            started=lambda: contextlib.nullcontext(""),
            furnished=_marathon,
            dialect=marathon.MarathonDialect(),
            beside="groups, replicas, what is held",
            left_out=(
                "what is asked of Mesos, which decisions do not rest on: tests/marathon_backend/test_mesos.py",
                "another address of Marathon in `urls`: tests/marathon_backend/test_client.py",
                f"{_TWO_FAULTS}, on simulated clusters",
                "410, which Marathon does not answer",
            ),
            effects=marathon.EFFECTS,
            elects=True,
        ),
    }
)
