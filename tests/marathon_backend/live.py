"""An emulated Marathon as stories with faults need it: :mod:`roadstead.testing.live_faults`.

Its tasks are pretended and its time is ours, so that a story takes some seconds. There are two instances, and we ask
the first: it leads, and once it was lost and is back, it passes on.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import attrs

from roadstead.model import ClusterSpec, PlacementSpec, Reach, Resources
from roadstead.spi.runtime import Launch, Program
from roadstead.testing.faults.telling import Remains
from roadstead.testing.http_faults import FaultProxy, Reply
from roadstead.testing.live_faults.calls import EFFECTS as ANYWHERE
from roadstead.testing.live_faults.calls import Call, Kind, Sort
from roadstead.testing.live_faults.stage import FLEET
from roadstead.testing.live_faults.subject import Standing, Tally, Terms
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Endpoint
from roadstead_backends.marathon import names
from roadstead_backends.marathon.emulator.cluster.tasks import Task
from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.settings import Settings, profile_named
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, emulated
from roadstead_backends.marathon.options import Containers, MarathonOptions
from tests.cluster.waiting import until

__all__ = ["EFFECTS", "VARIANTS", "Ground", "MarathonDialect", "MarathonLive", "ground"]

Json = dict[str, Any]

VARIANTS: Final[Mapping[str, tuple[str, Reach]]] = MappingProxyType(
    {
        "1.11": ("1.11", Reach.DIRECT),
        "1.11, out of reach": ("1.11", Reach.NONE),
        "1.8": ("1.8", Reach.DIRECT),
    }
)
"""Which version it is, and whether we can connect to replicas."""

_NAME: Final = "dc1"
_PREFIX: Final = "127.83"
_BYSTANDER: Final = f"/{FLEET}/bystander"
_PLACE: Final = "MARATHON_APP_ID"
_REASONS: Final = {429: "Too Many Requests", 500: "Futures timed out after [10 seconds]"}
_SOON: Final = Settings(
    launch_token=100_000,
    max_instances_per_offer=1,  # so that two replicas are on two agents, as far as there are so many
    min_revive_offers_interval=100,
    scale_apps_initial_delay=1_000,
    scale_apps_interval=1_000,
)

EFFECTS: Final[Mapping[Sort, tuple[Kind, ...]]] = MappingProxyType(
    {
        **{sort: tuple(kind for kind in kinds if kind is not Kind.EXPIRED) for sort, kinds in ANYWHERE.items()},
        Sort.WATCHED: (Kind.CUT, Kind.DELAYED, Kind.THROTTLED, Kind.SILENT, Kind.STALE),
    }
)
"""What is tried: there is no 410, and a stream that falls silent is found out within seconds."""


class MarathonDialect:
    """Names calls by verb and kind: ``PUT app``, ``list apps``, ``watch events``."""

    watches: tuple[str, ...] = ("watch events",)
    other_watches: tuple[str, ...] = ()

    def list_of(self, watch: str) -> str:  # noqa: ARG002  # there is one
        """Return the call that reads everything, for there is no replay."""
        return "list apps"

    def call(self, method: str, target: str) -> Call | None:
        """Return what a request means."""
        address = urlsplit(target)
        kind = address.path.removeprefix("/v2/")
        if method == "GET" and kind == "events":
            return Call("watch events", Sort.WATCH)
        if kind.startswith("apps/"):
            return Call(f"{method} app", Sort.READ if method == "GET" else Sort.WRITE)
        if method == "GET" and kind == "apps" and "label" in parse_qs(address.query):
            return Call("list apps", Sort.LIST)
        return Call(f"{method} {kind}", Sort.READ if method == "GET" else Sort.WRITE)

    def refusal(self, status: int, *, after_s: int | None = None) -> Reply:
        """Return a refusal as Marathon words it, or who stands before it; the lock's deployment is over by then."""
        headers = {"content-type": "application/json"} | ({"retry-after": str(after_s)} if after_s else {})
        body: Json = {"message": _REASONS.get(status, "refused on purpose")}
        if status == 409:
            words = "App is locked by one or more deployments. Override with the option '?force=true'."
            body = {"message": words, "deployments": [{"id": "5b0a1d52-8c5e-4a57-9f0c-0c7d2f4a9f11"}]}
        return Reply(status, json.dumps(body).encode(), headers)


@attrs.frozen(kw_only=True)
class Ground:
    """Where stories are told, one after the other."""

    marathon: Emulated
    reach: Reach

    @contextlib.contextmanager
    def cluster(self) -> Iterator[MarathonLive]:
        """Yield the cluster for one telling; nothing of ours is left afterwards, and the first instance leads."""
        with contextlib.closing(FaultProxy(self.marathon.url).start()) as proxy:
            made = MarathonLive(self, proxy)
            made.start()
            try:
                yield made
            finally:
                made.stop()
        self._lead_again()
        self._clear()

    def apps(self) -> list[Json]:
        """Return every app, with its tasks."""
        status, said = self.marathon.ask("GET", "/v2/apps?embed=apps.tasks")
        assert status == 200, said
        found: list[Json] = said["apps"]
        return found

    def is_at_work(self) -> bool:
        """Return whether a deployment is under way."""
        return bool(self.marathon.ask("GET", "/v2/deployments")[1])

    def _clear(self) -> None:
        for app in filter(_is_ours, self.apps()):
            self.marathon.ask("DELETE", f"/v2/apps{app['id']}?force=true")
        until(self._is_clear, every=0.02, what="that nothing of ours is left")

    def _is_clear(self) -> bool:
        left = self.marathon.do(lambda ensemble: [task for task in _tasks(ensemble) if _is_our_task(task)])
        return not left and not any(map(_is_ours, self.apps())) and not self.is_at_work()

    def _lead_again(self) -> None:
        first = urlsplit(self.marathon.url).netloc
        leader = self._leader()
        if leader != first:
            self.marathon.control("lose-leader")
            until(lambda: self._leader() == first, every=0.02, what=f"{first} to lead again")
            self.marathon.control("return-instance", address=leader)

    def _leader(self) -> str | None:
        return self.marathon.do(lambda ensemble: ensemble.leader)


class MarathonLive:
    """One telling's cluster."""

    dialect = MarathonDialect()

    def __init__(self, ground: Ground, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.tally = Tally()
        self._ground = ground
        self._marathon = ground.marathon
        options = MarathonOptions(urls=(proxy.url,), containers=Containers.NONE)
        self.spec = ClusterSpec(name=_NAME, backend="marathon", options=options, reach=ground.reach)
        self.terms = Terms(
            sources=("/models/1", "/models/2"),
            launch=Launch(
                program=Program(module="roadstead.testing.server"),
                args=("$(HOST)", "$(REST_PORT)"),
                rest_port=8501,
                rest_ready_path="/",
            ),
            placement=PlacementSpec(),
            resources=Resources(cpu=Cpus(100), memory=Memory(64 << 20)),
        )
        self._unsubscribe: Callable[[], None] = lambda: None

    # ---- who is there ----

    def start(self) -> None:
        """Begin to count, at each event, in the loop that everything there happens in."""

        def subscribed(ensemble: Ensemble) -> Callable[[], None]:
            return ensemble.marathon.events.subscribe(lambda _kind, _event: self._see(_tasks(ensemble)))

        self._unsubscribe = self._marathon.do(subscribed)

    def stop(self) -> None:
        """Count no more."""
        self._marathon.do(lambda _: self._unsubscribe())

    def _see(self, tasks: Sequence[Task]) -> None:
        alive = [task for task in tasks if _is_our_task(task) and task.state != "TASK_KILLING"]
        self.tally.see(ready=(one.id for one in alive if _runs(one)), alive=(one.id for one in alive))

    def serves(self, endpoint: Endpoint, timeout: Duration) -> bool:  # noqa: ARG002  # nobody is asked
        """Return whether a task runs there."""
        at = endpoint.host, endpoint.rest
        return self._marathon.do(
            lambda ensemble: any(at == (one.agent.hostname, one.ports[0]) for one in _tasks(ensemble) if _runs(one))
        )

    # ---- what is there ----

    def standing(self) -> Standing:
        """Return what is there now; a deployment under way may still end something."""
        apps = self._ground.apps()
        ours = [one for one in apps if _is_ours(one)]
        ending = sum(task["state"] == "TASK_KILLING" for one in ours for task in one["tasks"])
        return Standing(
            groups=tuple(map(_remains, ours)),
            strangers=frozenset(
                json.dumps([one["id"], one["version"], one["instances"], one["labels"]])
                for one in apps
                if not _is_ours(one)
            ),
            ending=ending + self._ground.is_at_work(),
        )

    # ---- what others do ----

    def meddle(self) -> None:
        """Give the group's servers more memory, for which Marathon replaces them all, one more first."""
        self._change({"mem": 65})
        until(lambda: not self._ground.is_at_work(), every=0.02, what="the end of somebody's deployment")

    def resize(self, count: int) -> None:
        """Give the group another count."""
        self._change({"instances": count})

    def _change(self, what: Json) -> None:
        app = next(one for one in self._ground.apps() if _is_ours(one) and one["instances"])
        status, said = self._marathon.ask("PUT", f"/v2/apps{app['id']}?force=true", what)
        assert status == 200, said

    def empty_a_node(self) -> Callable[[], None]:
        """Drain an agent that a replica is on; what is returned takes it back into use."""
        agent = {"agent_id": {"value": min(one.agent.id for one in self._ours_now())}}
        self._operate({"type": "DRAIN_AGENT", "drain_agent": agent})
        there = agent["agent_id"]["value"]
        until(
            lambda: there not in {one.agent.id for one in self._ours_now()},
            every=0.02,
            what=f"the end of the drain of {there}",
        )
        return lambda: self._operate({"type": "REACTIVATE_AGENT", "reactivate_agent": agent})

    def _operate(self, call: Json) -> None:
        status, said = self._marathon.ask("POST", "/api/v1", call, url=self._marathon.mesos_url)
        assert status < 300, said

    def _ours_now(self) -> list[Task]:
        return self._marathon.do(lambda ensemble: [one for one in _tasks(ensemble) if _is_our_task(one)])

    def depose(self) -> Callable[[], None]:
        """Lose the instance that leads; it is back later, and follows."""
        leader = self._marathon.do(lambda ensemble: ensemble.leader)
        self._marathon.control("lose-leader")
        return lambda: self._marathon.control("return-instance", address=leader)


@contextlib.contextmanager
def ground(variant: str) -> Iterator[Ground]:
    """Run a Marathon with four agents, and somebody else's app among ours."""
    version, reach = VARIANTS[variant]
    settings = attrs.evolve(_SOON, profile=profile_named(version))
    with emulated(Plan(settings=settings, agents=4, instances=2, prefix=_PREFIX)) as marathon:
        labels = {names.FLEET: FLEET, names.OWNER_ID: "others", names.DEPLOYMENT: "anchor", "app": "bystander"}
        app = {"id": _BYSTANDER, "cmd": "sleep 86400", "cpus": 0.1, "mem": 32, "instances": 1, "labels": labels}
        status, said = marathon.ask("POST", "/v2/apps", app)
        assert status == 201, said
        made = Ground(marathon=marathon, reach=reach)
        until(lambda: not made.is_at_work(), every=0.05, what="a bystander")
        yield made


# ---- apps and tasks ----


def _tasks(ensemble: Ensemble) -> list[Task]:
    return list(ensemble.marathon.cluster.tasks.values())


def _runs(task: Task) -> bool:
    return task.state == "TASK_RUNNING"


def _is_our_task(task: Task) -> bool:
    return re.match(rf"/{FLEET}/anchor/", task.environment.get(_PLACE, "")) is not None


def _is_ours(app: Json) -> bool:
    return bool(app["id"].startswith(f"/{FLEET}/anchor/"))


def _remains(app: Json) -> Remains:
    states = Counter(one["state"] for one in app["tasks"] if one["state"] != "TASK_KILLING")
    return Remains(
        cluster=_NAME,
        deployment=app["labels"][names.DEPLOYMENT],
        revision=app["labels"][names.REVISION],
        target=app["instances"],
        ready=states["TASK_RUNNING"],
        unready=states.total() - states["TASK_RUNNING"],
        version=0,
    )
