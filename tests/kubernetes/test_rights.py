"""What the shipped roles allow: exactly what is used, enough for each profile, and nothing that could be left out."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import pytest
import yaml

from roadstead.errors import Conflict, Forbidden, Rejected, Retryable, Unreachable
from roadstead.model import Reach, Scheduling, StopSpec
from roadstead.spi.backend import ABSENT, BackendContext, Expect
from roadstead.spi.lease import Lease
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Group, Phase, Snapshot
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.leases import open_lease
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.permits import lacking
from roadstead_backends.kubernetes.rights import ADOPTION, Profile, Right, rights_for
from tests.cluster.api import Json
from tests.cluster.cluster import Cluster
from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import Chances
from tests.cluster.standin_node import NodeShape
from tests.cluster.waiting import TooLate, until
from tests.kubernetes.orders import order_of, template_with

SHIPPED = Path(__file__).parents[2] / "configs" / "kubernetes" / "rbac"
NEVER = {"secrets", "pods/exec", "pods/attach", "pods/portforward", "serviceaccounts/token", "roles", "clusterroles"}
FLEET = "shop"
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
        """Allow the user these rights and no others."""
        near: list[Json] = []
        far: list[Json] = []
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


@pytest.fixture
def place(control_plane: Cluster, machines: Machines, namespace: str, tmp_path: Path) -> Iterator[Place]:
    """A namespace, and a user who is nobody so far."""
    made = Place(cluster=control_plane, namespace=namespace, user=f"u-{namespace}", root=tmp_path)
    yield made
    for kind in ("clusterrolebindings", "clusterroles"):
        control_plane.api.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/{made.user}", missing_ok=True)


class Story:
    """All that a backend may be asked for, once, on stand-in nodes."""

    def __init__(self, place: Place, scheduling: Scheduling, machines: Machines) -> None:
        self._place = place
        self._directed = scheduling is Scheduling.DIRECTED
        self._machines = machines
        self._context = place.context(scheduling)
        template = template_with()
        small = attrs.evolve(template.resources, cpu=Cpus(100), memory=Memory(64 << 20))
        soon = StopSpec(drain_within=Duration(0), kill_after=Duration(1000))
        self._order = order_of(attrs.evolve(template, resources=small, stop=soon))
        self.last: Snapshot | None = None

    def tell(self) -> tuple[str, ...]:
        """Do everything, and return what the cluster's notes were; raises what went wrong."""
        self._lease()
        backend = connect(self._context)
        try:
            return self._told(backend)
        finally:
            backend.close()

    def look_on(self) -> None:
        """Look until that goes wrong, for longer than a watch may be broken."""
        backend = connect(self._context)
        try:
            until(lambda: backend.observe() is None, within=30, every=0.2)
        finally:
            backend.close()

    def _told(self, backend: KubernetesBackend) -> tuple[str, ...]:
        order, key = self._order, self._order.key
        notes = backend.observe().capabilities.notes
        backend.apply(order, 3, expect=ABSENT)
        for floor in (1, 2, 0):
            backend.settle(key.deployment, floor)
        group = self._until_running(backend, 3)
        backend.apply(order, 2, retire=(group.replicas[0].id,), expect=Expect(group.version))
        group = self._until_running(backend, 2)
        backend.evict(group.replicas[0].id, grace=Duration(1000), reason="a test")
        self._until_running(backend, 2, without=group.replicas[0].id)
        with contextlib.suppress(Retryable, Rejected, Unreachable):  # no stand-in keeps what servers print
            list(backend.logs(group.replicas[0].id, tail=1, follow=False))
        self._ending(backend)
        self._edited_service(backend)
        self._drift(backend)
        group = self._seen(backend)
        backend.delete(key, grace=Duration(1000), expect=Expect(group.version))
        backend.settle(key.deployment, None)
        return notes

    def _ending(self, backend: KubernetesBackend) -> None:
        """A node throws a pod out, and what is left of it is removed with the next order."""
        victim = self._seen(backend).replicas[0].id
        self._machines.standin.evict(self._place.namespace, victim)
        path = f"/api/v1/namespaces/{self._place.namespace}/pods/{victim}"
        self._place.cluster.api.wait(path, lambda pod: pod["status"]["phase"] == "Failed")
        until(lambda: self._found(backend, lambda group: any(one.phase is Phase.LOST for one in group.replicas)))
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

        until(put_back, every=0.1)

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
        group = until(lambda: self._found(backend, lambda group: bool(group.drift)))
        victim = group.replicas[0].id
        api.delete(f"/api/v1/namespaces/{space}/pods/{victim}", gracePeriodSeconds=0)
        self._until_running(backend, 2, without=victim)
        until(lambda: self._reverted(backend))
        until(lambda: self._found(backend, lambda group: any(one.drifted for one in group.replicas)))

    def _reverted(self, backend: KubernetesBackend) -> bool:
        """Put the template back, anew where the ReplicaSet reported something else meanwhile."""
        try:
            backend.revert(self._order.key, expect=Expect(self._seen(backend).version))
        except (Conflict, Rejected):
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

        return until(lambda: self._found(backend, holds), within=20, every=0.05)


@pytest.mark.kubernetes
@pytest.mark.parametrize("profile", Profile)
def test_a_profile_is_enough(place: Place, machines: Machines, profile: Profile) -> None:
    """With exactly its rights everything can be done; the smaller ones say what is not known there."""
    place.allow(rights_for(profile))
    scheduling = Scheduling.DIRECTED if profile is Profile.DIRECTED else Scheduling.NATIVE
    notes = Story(place, scheduling, machines).tell()
    unknown = [note.partition(":")[0] for note in notes if " not " in note.partition(":")[0]]
    expected = ["nodes are not shown", "what others hold of nodes is not known"] if profile is Profile.NATIVE else []
    assert expected == unknown


LESS_IS_SAID = {"nodes", "pods", "events", "resourcequotas", "horizontalpodautoscalers"}
"""What may not be listed is said in a note, and everything else works on."""


@pytest.mark.kubernetes
@pytest.mark.parametrize("missing", rights_for(Profile.DIRECTED), ids=str)
def test_every_right_is_missed(place: Place, machines: Machines, missing: Right) -> None:
    """Without any one of its profile's rights something is refused, or less is known; and the check says so before."""
    place.allow(right for right in rights_for(missing.profile) if right != missing)
    scheduling = Scheduling.DIRECTED if missing.profile is Profile.DIRECTED else Scheduling.NATIVE
    (lack,) = (lack for lack in lacking(place.context(scheduling)) if lack.what.startswith(f"{missing.without}:"))
    assert lack.is_in_the_way == (missing.profile is not Profile.CAPACITY and missing.resource != "leases")
    if missing.resource in {"persistentvolumeclaims", "storageclasses"} or missing.group == "metrics.k8s.io":
        return  # a warning in advance is lost, and what the test's cluster does not serve
    story = Story(place, scheduling, machines)
    if missing.verb == "watch":
        with pytest.raises(Forbidden):
            story.look_on()
        return
    try:
        notes = story.tell()
    except (Forbidden, TooLate):
        return
    assert missing.resource in LESS_IS_SAID
    assert "list" == missing.verb
    assert any(missing.resource in note for note in notes)
