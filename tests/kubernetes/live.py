"""A namespace of a Kubernetes cluster as stories with faults need it: :mod:`roadstead.testing.live_faults`.

Two sorts of nodes: stand-in kubelets, where a story takes a second or two, and real ones.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import attrs
import urllib3

from roadstead.model import ClusterSpec, Constraint, Operator, PlacementSpec, Reach, Resources, Scheduling
from roadstead.spi.runtime import Launch, Program
from roadstead.testing.faults.telling import Remains
from roadstead.testing.http_faults import FaultProxy, Reply
from roadstead.testing.live_faults.calls import Call, Sort
from roadstead.testing.live_faults.stage import FLEET
from roadstead.testing.live_faults.subject import Standing, Tally, Terms
from roadstead.testing.live_faults.told import answers
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Endpoint
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.api import Api, ApiError, Json
from tests.cluster.standin_api import Access
from tests.cluster.waiting import until
from tests.kubernetes.following import Following, unasked

__all__ = ["IMAGE", "POOL", "Ground", "KubernetesDialect", "KubernetesLive", "standing_by"]

IMAGE: Final = "localhost/roadstead/host:1"
POOL: Final = "roadstead-tests/pool"
"""The label of nodes that says for whose stories they are."""

_NAME: Final = "prod"
_OURS: Final = f"{names.MANAGED_BY}={names.US},{names.FLEET}={FLEET}"
_KINDS: Final = {
    "replicasets": "/apis/apps/v1",
    "pods": "/api/v1",
    "services": "/api/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
}
_PATH: Final = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?P<one>/namespaces/[^/]+)?/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>.+))?"
)
_REASONS: Final = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
}


class KubernetesDialect:
    """Names calls by verb and kind: ``PATCH replicasets``, ``list pods``, ``watch nodes``.

    ``ask`` is a list of one object, which asks whether we may see any, or whether anybody answers.
    """

    watches: tuple[str, ...] = (
        "watch replicasets",
        "watch pods",
        "watch services",
        "watch poddisruptionbudgets",
    )
    other_watches: tuple[str, ...] = (
        "watch nodes",
        "watch pods of all",
        "watch resourcequotas",
        "watch limitranges",
        "watch horizontalpodautoscalers",
        "watch events",
    )

    def list_of(self, watch: str) -> str:
        """Return the list that a watch goes on from."""
        return watch.replace("watch ", "list ", 1)

    def call(self, method: str, target: str) -> Call | None:
        """Return what a request means; what is measured of nodes and pods is tried elsewhere."""
        address = urlsplit(target)
        if address.path == "/version":
            return Call("GET version", Sort.READ)
        found = _PATH.fullmatch(address.path)
        if found is None or "metrics" in address.path or (found["sub"] or "").startswith("proxy"):
            return None
        kind = found["kind"] if found["one"] or found["kind"] != "pods" else "pods of all"
        kind = f"{kind}/{found['sub']}" if found["sub"] else kind
        if method != "GET":
            return Call(f"{method} {kind}", Sort.WRITE)
        if found["name"]:
            return Call(f"GET one of {kind}", Sort.READ)
        query = parse_qs(address.query)
        if "watch" in query:
            return Call(f"watch {kind}", Sort.WATCH)
        return Call(f"ask {kind}", Sort.READ) if query.get("limit") == ["1"] else Call(f"list {kind}", Sort.LIST)

    def refusal(self, status: int, *, after_s: int | None = None) -> Reply:
        """Return a refusal as an API server words it."""
        reason = _REASONS[status]
        body = {"kind": "Status", "status": "Failure", "reason": reason, "message": f"{reason} on purpose"}
        headers = {"content-type": "application/json"} | ({"retry-after": str(after_s)} if after_s else {})
        return Reply(status, json.dumps({**body, "code": status}).encode(), headers)


@attrs.frozen(kw_only=True)
class Ground:
    """Where stories are told, one after the other: a namespace, and nodes with the label ``POOL=pool``.

    ``sources`` are folders of its nodes. With ``is_real`` its servers run, and are asked.
    """

    kubeconfig: Path
    api: Api
    namespace: str
    pool: str
    sources: tuple[str, str] = ("/models/1", "/models/2")
    node_lost_after: Duration = Duration(30_000)
    scheduling: Scheduling = Scheduling.NATIVE
    reach: Reach = Reach.DIRECT
    is_real: bool = False

    @contextlib.contextmanager
    def cluster(self) -> Iterator[KubernetesLive]:
        """Yield the cluster for one telling; nothing of ours is left afterwards."""
        access = Access.from_kubeconfig(self.kubeconfig)
        with (
            tempfile.TemporaryDirectory(prefix="roadstead-kubeconfig-") as folder,
            contextlib.closing(FaultProxy(access.server, trusts=access.tls).start()) as proxy,
        ):
            made = KubernetesLive(self, proxy, _written(Path(folder, "kubeconfig"), proxy.url))
            made.start()
            try:
                yield made
            finally:
                made.stop()
        self.clear()

    def objects(self, kind: str) -> list[Json]:
        """Return all objects of a kind in the namespace, as soon as the API server answers."""
        found: list[Json] = until(lambda: self._listed(kind), every=0.1, what=f"a list of {kind}")["items"]
        return found

    def _listed(self, kind: str) -> Json | None:
        with contextlib.suppress(urllib3.exceptions.HTTPError, ApiError):
            return self.api.get(self.path(kind))
        return None

    def path(self, kind: str, name: str = "") -> str:
        """Return where a kind of objects is, or one of them."""
        return f"{_KINDS[kind]}/namespaces/{self.namespace}/{kind}{'/' if name else ''}{name}"

    def clear(self) -> None:
        """Take away all that is ours, at once."""
        for kind in _KINDS:
            for one in self.objects(kind):
                if _is_ours(one):
                    body = {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
                    self.api.delete(self.path(kind, one["metadata"]["name"]), missing_ok=True, body=body)
        until(lambda: not any(_is_ours(one) for kind in _KINDS for one in self.objects(kind)), every=0.02)


class KubernetesLive:
    """One telling's cluster."""

    dialect = KubernetesDialect()

    def __init__(self, ground: Ground, proxy: FaultProxy, kubeconfig: Path) -> None:
        self.proxy = proxy
        self.tally = Tally()
        self._ground = ground
        options = KubernetesOptions(kubeconfig=kubeconfig, namespace=ground.namespace)
        self.spec = ClusterSpec(
            name=_NAME, backend="kubernetes", options=options, scheduling=ground.scheduling, reach=ground.reach
        )
        program = Program(module="roadstead.testing.server")
        launch = Launch(program=program, args=("$(HOST)", "8501"), rest_port=8501, image=IMAGE)
        here = Constraint(attribute=POOL, operator=Operator.IN, values=(ground.pool,))
        self.terms = Terms(
            sources=ground.sources,
            launch=launch,
            placement=PlacementSpec(constraints=(here,)),
            resources=Resources(cpu=Cpus(100), memory=Memory(64 << 20)),
            node_lost_after=ground.node_lost_after,
        )
        self._counting = threading.Lock()
        self._served: set[tuple[str, int]] = set()
        self._pods = Following(ground.api, ground.path("pods"), _OURS, self._see)
        self._groups = Following(ground.api, ground.path("replicasets"), _OURS, self._see)

    # ---- who is there ----

    def start(self) -> None:
        """Begin to count."""
        self._groups.start()
        self._pods.start()

    def stop(self) -> None:
        """Count no more."""
        self._pods.stop()
        self._groups.stop()

    def _see(self) -> None:
        """Count; a real server that answered once serves until it is told to stop, whatever is said of its node."""
        with self._counting:
            alive = {_process(pod): pod for pod in self._pods.seen if _is_alive(pod)}
            ready = {key for key, pod in alive.items() if _is_ready(pod)}
            if self._ground.is_real:
                self._served |= ready
                ready = alive.keys() & self._served
            beyond = unasked(alive.values(), self._groups.seen)
            self.tally.see(ready=(uid for uid, _ in ready), alive=(uid for uid, _ in alive), unasked=beyond)

    # ---- what is there ----

    def serves(self, endpoint: Endpoint, timeout: Duration) -> bool:
        """Return whether a server answers; on a stand-in node, whether its pod is ready."""
        there = [pod for pod in self._pods.seen if pod["status"].get("podIP") == endpoint.host]
        if self._ground.is_real:
            if not answers(endpoint, timeout):
                return False
            # Whoever answers serves, also where the kubelet has not asked it yet.
            with self._counting:
                self._served |= set(map(_process, there))
            self._see()
            return True
        return any(map(_is_ready, there))

    def standing(self) -> Standing:
        """Return what is there now."""
        found = {kind: self._ground.objects(kind) for kind in _KINDS}
        ours = {kind: [one for one in objects if _is_ours(one)] for kind, objects in found.items()}
        going = sum(_is_going(one) for kind in ("pods", "replicasets") for one in ours[kind])
        staying = [one for one in ours["pods"] if not _is_going(one)]
        pods = Counter((_revision(one), _is_alive(one) and _is_ready(one)) for one in staying)
        budgets = ours["poddisruptionbudgets"]
        return Standing(
            groups=tuple(_remains(one, pods) for one in ours["replicasets"]),
            beside=frozenset(
                (
                    *(f"service {one['metadata']['name']}" for one in ours["services"]),
                    *(f"budget {one['metadata']['name']} of {one['spec']['minAvailable']}" for one in budgets),
                )
            ),
            strangers=frozenset(
                _words(kind, one) for kind, objects in found.items() for one in objects if not _is_ours(one)
            ),
            ending=going,
        )

    # ---- what others do ----

    def meddle(self) -> None:
        """Give the group's servers another memory limit, as `kubectl edit` would, and remove a pod."""
        limits = {"limits": {"memory": "65Mi"}}
        template = {"spec": {"containers": [{"name": names.SERVER, "resources": limits}]}}
        self._patch({"spec": {"template": template}}, kind="strategic")
        victim = min(one["metadata"]["name"] for one in self._ground.objects("pods") if _is_ours(one))
        self._ground.api.delete(self._ground.path("pods", victim), gracePeriodSeconds=0)

    def resize(self, count: int) -> None:
        """Give the group another count, as `kubectl scale` would."""
        self._patch({"spec": {"replicas": count}}, kind="merge")

    def _patch(self, body: Json, *, kind: str) -> None:
        ground = self._ground
        group = next(one for one in ground.objects("replicasets") if _is_ours(one) and one["spec"]["replicas"])
        ground.api.patch(
            ground.path("replicasets", group["metadata"]["name"]), body, kind=kind, fieldManager="somebody"
        )

    def empty_a_node(self) -> Callable[[], None]:
        """Cordon a node and evict our pods from it, as `kubectl drain` would; what is returned uncordons it."""
        node = min(one["spec"]["nodeName"] for one in self._ground.objects("pods") if _is_ours(one))
        place = f"/api/v1/nodes/{node}"
        self._ground.api.patch(place, {"spec": {"unschedulable": True}})
        until(lambda: self._is_empty(node), every=0.05, what=f"the end of the drain of {node}")
        return lambda: _ignore(self._ground.api.patch(place, {"spec": {"unschedulable": None}}))

    def _is_empty(self, node: str) -> bool:
        """Ask for the eviction of every pod of ours that is on a node still, and return whether none is."""
        there = [one for one in self._ground.objects("pods") if _is_ours(one) and one["spec"].get("nodeName") == node]
        for pod in (one for one in there if not _is_going(one)):
            name = pod["metadata"]["name"]
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
            try:
                self._ground.api.create(f"{self._ground.path('pods', name)}/eviction", body)
            except ApiError as error:
                if error.status not in {404, 429}:
                    raise
        return not there


def standing_by(ground: Ground) -> None:
    """Make objects that look a little like ours and are somebody else's."""
    labels = {names.FLEET: "others", names.OWNER_ID: "others", names.DEPLOYMENT: "anchor", "app": "bystander"}
    meta = {"name": f"{FLEET}-bystander", "labels": labels}
    spec = {"containers": [{"name": "server", "image": IMAGE, "command": ["sleep", "86400"]}]}
    template = {"metadata": {"labels": labels}, "spec": {**spec, "nodeSelector": {POOL: ground.pool}}}
    selector = {"matchLabels": labels}
    api = ground.api
    api.create(
        ground.path("replicasets"),
        {"metadata": meta, "spec": {"replicas": 1, "selector": selector, "template": template}},
    )
    api.create(ground.path("services"), {"metadata": meta, "spec": {"selector": labels, "ports": [{"port": 8501}]}})
    api.create(
        ground.path("poddisruptionbudgets"), {"metadata": meta, "spec": {"minAvailable": 0, "selector": selector}}
    )
    until(lambda: any(_is_ready(one) for one in ground.objects("pods")), every=0.05, what="a bystander")


# ---- objects ----


def _is_ours(one: Json) -> bool:
    labels = one["metadata"].get("labels", {})
    return bool(labels.get(names.MANAGED_BY) == names.US and labels.get(names.FLEET) == FLEET)


def _is_going(one: Json) -> bool:
    return "deletionTimestamp" in one["metadata"]


def _is_alive(pod: Json) -> bool:
    return not _is_going(pod) and pod["status"].get("phase") not in ("Failed", "Succeeded")


def _is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _process(pod: Json) -> tuple[str, int]:
    """Return what no two processes of pods share."""
    return pod["metadata"]["uid"], sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))


def _revision(one: Json) -> str:
    found: str = one["metadata"].get("labels", {}).get(names.REVISION, "")
    return found


def _remains(group: Json, pods: Counter[tuple[str, bool]]) -> Remains:
    revision = _revision(group)
    return Remains(
        cluster=_NAME,
        deployment=group["metadata"]["labels"][names.DEPLOYMENT],
        revision=revision,
        target=group["spec"]["replicas"],
        ready=pods[revision, True],
        unready=pods[revision, False],
        version=0,
    )


def _words(kind: str, one: Json) -> str:
    """Return what nobody but its owner may change about an object."""
    meta = one["metadata"]
    kept = {name: meta.get(name) for name in ("uid", "generation", "labels", "annotations", "deletionTimestamp")}
    return f"{kind} {meta['name']} {json.dumps(kept, sort_keys=True)}"


def _written(path: Path, server: str) -> Path:
    """Write a kubeconfig for a server that asks for no credentials."""
    path.touch(mode=0o600)
    path.write_text(
        json.dumps(
            {
                "clusters": [{"name": "tests", "cluster": {"server": server}}],
                "users": [{"name": "tests", "user": {}}],
                "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
                "current-context": "tests",
            }
        )
    )
    return path


def _ignore(_: object) -> None:
    """Return nothing of what was answered."""
