"""What the shipped roles allow: exactly what is used, enough for each profile, and nothing that could be left out."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
import yaml

from roadstead.errors import Conflict, Forbidden, Rejected, Retryable, Unreachable
from roadstead.model import Reach, Scheduling, StopSpec
from roadstead.spi.backend import ABSENT, BackendContext, Expect
from roadstead.spi.lease import Lease
from roadstead.spi.records import Lack
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Group, Phase
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect, open_transport
from roadstead_backends.kubernetes.leases import open_lease
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.permits import lacking, refused
from roadstead_backends.kubernetes.rights import ADOPTION, Profile, Right, rights_for
from tests.cluster.api import Json
from tests.cluster.cluster import Cluster
from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import Chances
from tests.cluster.standin_node import NodeShape
from tests.cluster.waiting import PATIENCE_S, TooLate, until
from tests.kubernetes.orders import order_of, template_with

SHIPPED = Path(__file__).parents[2] / "configs" / "kubernetes" / "rbac"
NEVER = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "roles", "clusterroles"}
FLEET = "shop"
T = TypeVar("T")
_LEASE = Lease(holder="a", transitions=0, duration=Duration(15_000), renewed=1_000)


# ---- without a cluster ----


def granted(*names: str) -> set[tuple[str, str, str, bool, bool]]:
    """Return what shipped roles allow: group, resource, verb, whether everywhere, and whether by name only."""
    found = set()
    for name in names:
        for role in yaml.safe_load_all((SHIPPED / f"{name}.yaml").read_text()):
            for rule in role.get("rules", ()):
                for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"]):
                    everywhere = role["kind"] == "ClusterRole"
                    found.add((group, resource, verb, everywhere, "resourceNames" in rule))
    return found


def said(rights: Iterable[Right]) -> set[tuple[str, str, str, bool, bool]]:
    """Return the same of what the code says that it needs."""
    return {(one.group, one.resource, one.verb, one.everywhere, one.named) for one in rights}


@pytest.mark.parametrize(
    ("profile", "names"),
    [
        (Profile.NATIVE, ("native",)),
        (Profile.CAPACITY, ("native", "capacity")),
        (Profile.DIRECTED, ("native", "capacity", "directed")),
    ],
)
def test_a_shipped_profile_allows_exactly_what_is_said_to_be_needed(profile: Profile, names: tuple[str, ...]) -> None:
    """Roles and self-check cannot drift apart: both say the same verbs on the same kinds."""
    assert said(rights_for(profile)) == granted(*names)


def test_the_role_for_adoption_allows_exactly_what_that_takes() -> None:
    """It is apart, and bound only as long as somebody's Deployments are taken over."""
    assert said(ADOPTION) == granted("adoption")


def test_no_role_allows_what_would_be_more_than_serving_models() -> None:
    """No Secrets, no way into a container, no wildcard, no way to more rights."""
    for group, resource, verb, _, _ in granted("native", "capacity", "directed", "adoption"):
        assert resource not in NEVER
        assert verb not in {"*", "bind", "escalate", "impersonate"}
        assert "*" not in group + resource


# ---- on a real API server ----


@attrs.frozen
class Machines:
    """Stand-in nodes, and what may happen to them."""

    standin: Standin
    names: tuple[str, ...]


@pytest.fixture(scope="module")
def machines(control_plane: Cluster) -> Iterator[Machines]:
    """Two stand-in nodes, quick about everything."""
    shapes = [NodeShape(name=f"r-{number}") for number in range(2)]
    chances = Chances(create=(0.0, 0.01), start=(0.0, 0.01), ready=(0.0, 0.01), stop=(0.0, 0.01))
    with Standin(Access.from_kubeconfig(control_plane.kubeconfig), shapes, chances=chances, heartbeat=2) as standin:
        for shape in shapes:
            control_plane.api.wait(f"/api/v1/nodes/{shape.name}", lambda node: not node["spec"].get("taints"))
        yield Machines(standin, tuple(shape.name for shape in shapes))
    for shape in shapes:
        control_plane.api.delete(f"/api/v1/nodes/{shape.name}", missing_ok=True)


@attrs.frozen(kw_only=True)
class Place:
    """A namespace, somebody with certain rights there, and an administrator who sees all of it."""

    cluster: Cluster
    namespace: str
    user: str
    root: Path

    def allow(self, rights: Iterable[Right]) -> None:
        """Allow the user these rights and no others; return once the API server has heard of it."""
        near: list[Json] = []
        far: list[Json] = []
        rights = tuple(rights)
        for right in rights:
            rule = {"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}
            named = {"resourceNames": [f"roadstead-{FLEET}"]} if right.named else {}
            (far if right.everywhere else near).append({**rule, **named})
        api, root = self.cluster.api, "/apis/rbac.authorization.k8s.io/v1"
        for kind, place, rules in (
            ("Role", f"{root}/namespaces/{self.namespace}/role", near),
            ("ClusterRole", f"{root}/clusterrole", far),
        ):
            subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.user}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": self.user}
            api.create(f"{place}s", {"metadata": {"name": self.user}, "rules": rules})
            body = {"metadata": {"name": self.user}, "roleRef": reference, "subjects": [subject]}
            api.create(f"{place}bindings", body)
        transport, _ = open_transport(self.context(Scheduling.NATIVE))
        try:
            until(lambda: not any(refused(transport, self.namespace, FLEET, rights)))
        finally:
            transport.close()

    def context(self, scheduling: Scheduling) -> BackendContext:
        """Return what the user's backend is made from."""
        path = self.cluster.plane.write_kubeconfig(self.user, self.user)
        options = KubernetesOptions(kubeconfig=path, namespace=self.namespace)
        return BackendContext(
            cluster="prod",
            fleet=FLEET,
            owner_id="0f1e2d",
            options=options,
            scheduling=scheduling,
            root=self.root,
            reach=Reach.DIRECT,
        )


@contextlib.contextmanager
def new_place(cluster: Cluster, root: Path) -> Iterator[Place]:
    """Make a namespace for the time of a block, and a user who is nobody so far."""
    with cluster.namespace() as namespace:
        made = Place(cluster=cluster, namespace=namespace, user=f"u-{namespace}", root=root)
        try:
            yield made
        finally:
            for kind in ("clusterrolebindings", "clusterroles"):
                cluster.api.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/{made.user}", missing_ok=True)


@attrs.frozen(kw_only=True)
class Told:
    """What a story came to: the cluster's ``notes``, nodes shown, and whether our choice of who goes was passed on."""

    notes: tuple[str, ...]
    nodes: int
    chosen: bool = True


class Story:
    """All that a backend may be asked for, once, on stand-in nodes; ``patience`` is how long to wait, in seconds."""

    def __init__(self, place: Place, scheduling: Scheduling, machines: Machines, *, patience: float) -> None:
        self._place = place
        self._directed = scheduling is Scheduling.DIRECTED
        self._machines = machines
        self._context = place.context(scheduling)
        template = template_with()
        small = attrs.evolve(template.resources, cpu=Cpus(100), memory=Memory(64 << 20))
        soon = StopSpec(drain_within=Duration(0), kill_after=Duration(1000))
        self._order = order_of(attrs.evolve(template, resources=small, stop=soon))
        self._patience = patience

    def tell(self) -> Told:
        """Do everything, and return what came of it; raises what went wrong."""
        self._lease()
        backend = connect(self._context)
        try:
            return self._told(backend)
        finally:
            backend.close()

    def look_on(self, words: str) -> Told:
        """Look until that goes wrong, or a note has these words."""
        backend = connect(self._context)

        def noted() -> Told | None:
            seen = backend.observe()
            notes = seen.capabilities.notes
            return Told(notes=notes, nodes=len(seen.nodes)) if any(words in note for note in notes) else None

        try:
            return until(noted, every=0.2)
        finally:
            backend.close()

    def _told(self, backend: KubernetesBackend) -> Told:
        order, key = self._order, self._order.key
        seen = backend.observe()
        backend.apply(order, 3, expect=ABSENT)
        for floor in (1, 2, 0):
            backend.settle(key.deployment, floor)
        group = self._until_running(backend, 3)
        chosen = tuple(one.id for one in group.replicas[:2])  # one more than go, so that one is left to be looked at
        backend.apply(order, 2, retire=chosen, expect=Expect(group.version))
        group = self._until_running(backend, 2)
        passed_on = self._is_preferred(chosen)
        backend.evict(group.replicas[0].id, grace=Duration(1000), reason="a test")
        group = self._until_running(backend, 2, without=group.replicas[0].id)
        with contextlib.suppress(Retryable, Rejected, Unreachable):  # no stand-in keeps what servers print
            list(backend.logs(group.replicas[0].id, tail=1, follow=False))
        self._ending(backend)
        self._edited_service(backend)
        self._drift(backend)
        group = self._seen(backend)
        backend.delete(key, grace=Duration(1000), expect=Expect(group.version))
        backend.settle(key.deployment, None)
        return Told(notes=seen.capabilities.notes, nodes=len(seen.nodes), chosen=passed_on)

    def _is_preferred(self, chosen: tuple[str, ...]) -> bool:
        """Return whether what is left of the pods that were to go first still carries that."""
        found = self._place.cluster.api.get(f"/api/v1/namespaces/{self._place.namespace}/pods")["items"]
        costs = [one["metadata"].get("annotations", {}) for one in found if one["metadata"]["name"] in chosen]
        return any("controller.kubernetes.io/pod-deletion-cost" in one for one in costs)

    def _ending(self, backend: KubernetesBackend) -> None:
        """A node throws a pod out, and what is left of it is removed with the next order."""
        victim = self._seen(backend).replicas[0].id
        self._machines.standin.evict(self._place.namespace, victim)
        path = f"/api/v1/namespaces/{self._place.namespace}/pods/{victim}"
        self._place.cluster.api.wait(path, lambda pod: pod["status"]["phase"] == "Failed")
        self._until(lambda: self._found(backend, lambda group: any(one.phase is Phase.LOST for one in group.replicas)))
        backend.apply(self._order, 2, expect=Expect(self._seen(backend).version))
        self._until_running(backend, 2, without=victim)

    def _edited_service(self, backend: KubernetesBackend) -> None:
        """Somebody sends a deployment's requests elsewhere, and that is put back."""
        deployment = self._order.key.deployment
        path = f"/api/v1/namespaces/{self._place.namespace}/services/{FLEET}-{deployment}"
        api = self._place.cluster.api
        api.patch(path, {"spec": {"selector": {"app": "elsewhere"}}})

        def put_back() -> bool:
            backend.observe()
            backend.settle(deployment, 1)
            return "elsewhere" not in api.get(path)["spec"]["selector"].values()

        self._until(put_back)

    def _lease(self) -> None:
        store = open_lease(self._context, FLEET)
        try:
            assert store.read() is None
            lead = store.write(_LEASE)
            store.write(lead)
        finally:
            store.close()

    def _drift(self, backend: KubernetesBackend) -> None:
        """Somebody edits the template, and a pod is made from it: both are seen, and put back."""
        api, space = self._place.cluster.api, self._place.namespace
        path = f"/apis/apps/v1/namespaces/{space}/replicasets/{FLEET}-{self._order.key}"
        containers = [{"name": "server", "resources": {"limits": {"memory": "65Mi"}}}]
        edit = {"spec": {"template": {"spec": {"containers": containers}}}}
        api.patch(path, edit, kind="strategic", fieldManager="somebody")
        group = self._until(lambda: self._found(backend, lambda group: bool(group.drift)))
        victim = group.replicas[0].id
        api.delete(f"/api/v1/namespaces/{space}/pods/{victim}", gracePeriodSeconds=0)
        self._until_running(backend, 2, without=victim)
        self._until(lambda: self._reverted(backend))
        self._until(lambda: self._found(backend, lambda group: any(one.drifted for one in group.replicas)))

    def _reverted(self, backend: KubernetesBackend) -> bool:
        """Put the template back, anew where the ReplicaSet reported something else meanwhile."""
        try:
            backend.revert(self._order.key, expect=Expect(self._seen(backend).version))
        except Conflict:
            return False
        return True

    def _seen(self, backend: KubernetesBackend) -> Group:
        (group,) = backend.observe().groups
        return group

    def _found(self, backend: KubernetesBackend, holds: object) -> Group | None:
        group = self._seen(backend)
        if self._directed:
            for replica in group.replicas:
                if replica.phase is Phase.SLOT:
                    backend.bind(replica.id, self._machines.names[0], ())
        return group if holds(group) else None  # type: ignore[operator]  # a predicate

    def _until_running(self, backend: KubernetesBackend, count: int, *, without: str = "") -> Group:
        def holds(group: Group) -> bool:
            running = [one for one in group.replicas if one.phase is Phase.RUNNING and one.id != without]
            return len(running) == len(group.replicas) == count

        return self._until(lambda: self._found(backend, holds))

    def _until(self, question: Callable[[], T | bool | None]) -> T:
        return until(question, within=self._patience, every=0.05)


@pytest.mark.kubernetes
@pytest.mark.parametrize("profile", Profile)
def test_a_profile_is_enough(control_plane: Cluster, machines: Machines, tmp_path: Path, profile: Profile) -> None:
    """With exactly its rights everything can be done; the smaller ones say what is not known there."""
    with new_place(control_plane, tmp_path) as place:
        place.allow(rights_for(profile))
        told = Story(place, scheduling_of(profile), machines, patience=PATIENCE_S).tell()
    unknown = [note.partition(":")[0] for note in told.notes if " not " in note.partition(":")[0]]
    expected = ["nodes are not shown", "what others hold of nodes is not known"] if profile is Profile.NATIVE else []
    assert (expected, True) == (unknown, told.chosen)


def scheduling_of(profile: Profile) -> Scheduling:
    """Return who picks the nodes where a profile is bound."""
    return Scheduling.DIRECTED if profile is Profile.DIRECTED else Scheduling.NATIVE


# ---- without one of them ----

AT_ONCE = 8
"""Users who each lack one right, and find out side by side: nearly all of it is waiting."""

UNTRIED = {"list pods.metrics.k8s.io", "watch verticalpodautoscalers.autoscaling.k8s.io"}
"""What the test's cluster does not serve."""

LESS_IS_SAID = {
    *("nodes", "pods", "events", "resourcequotas", "limitranges", "horizontalpodautoscalers", "verticalpodautoscalers"),
    *("persistentvolumeclaims", "storageclasses"),
}
"""What of it may not be listed or watched is said in a note, and everything else works on."""

NEVER_COMES = {"get replicasets.apps", "get pods", "delete pods"}
"""Without these nothing that is asked for need be refused, but what is waited for does not come."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What was said before to whoever lacks a right, and what came of the attempt."""

    lack: Lack
    told: Told | None = None
    failed: Exception | None = None


@pytest.fixture(scope="module")
def without(
    request: pytest.FixtureRequest,
    control_plane: Cluster,
    machines: Machines,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Right], Outcome]]:
    """What comes of each missing right that was asked for; they are tried side by side."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    wanted = [call.params["missing"] for call in calls if call is not None and "missing" in call.params]
    roots = {missing: tmp_path_factory.mktemp("without") for missing in wanted}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {right: pool.submit(_tried, control_plane, machines, right, root) for right, root in roots.items()}
        yield lambda missing: found[missing].result()


def _tried(cluster: Cluster, machines: Machines, missing: Right, root: Path) -> Outcome:
    scheduling = scheduling_of(missing.profile)
    with new_place(cluster, root) as place:
        place.allow(right for right in rights_for(missing.profile) if right != missing)
        (lack,) = (one for one in lacking(place.context(scheduling)) if one.what.startswith(f"{missing.without}:"))
        if str(missing) in UNTRIED:
            return Outcome(lack=lack)
        story = Story(place, scheduling, machines, patience=PATIENCE_S if str(missing) not in NEVER_COMES else 15)
        try:
            return Outcome(
                lack=lack, told=story.look_on(refused_as(missing)) if missing.verb == "watch" else story.tell()
            )
        except (Forbidden, TooLate) as failed:
            return Outcome(lack=lack, failed=failed)


@pytest.mark.kubernetes
@pytest.mark.parametrize("missing", rights_for(Profile.DIRECTED), ids=str)
def test_every_right_is_missed(without: Callable[[Right], Outcome], missing: Right) -> None:
    """Without any one of its profile's rights something is refused, or less is known; and the check says so before."""
    outcome = without(missing)
    in_the_way = missing.profile is not Profile.CAPACITY and missing.resource != "leases"
    assert in_the_way == outcome.lack.is_in_the_way
    if str(missing) in UNTRIED:
        return
    if outcome.told is None:
        never_comes = str(missing) in NEVER_COMES and isinstance(outcome.failed, TooLate)
        assert never_comes or refused_as(missing) in str(outcome.failed)
    elif str(missing) == "patch pods":
        assert not outcome.told.chosen
    else:
        assert missing.resource in LESS_IS_SAID
        assert missing.verb in {"list", "watch"}
        assert any(refused_as(missing) in note for note in outcome.told.notes)
        if missing.profile is Profile.CAPACITY:
            assert (missing.resource == "nodes") == (outcome.told.nodes == 0)


def refused_as(right: Right) -> str:
    """Return the API server's words for somebody who lacks a right."""
    return f'cannot {right.verb} resource "{right.resource}"'
