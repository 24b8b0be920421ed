"""The client against a real API server: its answers, its faults through the proxy, and parts of it that stop or die."""

from __future__ import annotations

import base64
import datetime as dt
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import msgspec
import pytest

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Unreachable,
)
from roadstead.testing.http_faults import (
    Cut,
    Fault,
    FaultProxy,
    Insert,
    LoseReply,
    LoseRequest,
    Reply,
    Rule,
    Silence,
    Stale,
    Truncate,
)
from roadstead.units import Duration
from roadstead_backends.kubernetes.faults import AlreadyExists, Contested, FieldOwner, NotFound
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.pace import Pace
from roadstead_backends.kubernetes.reflector import Following, Reflector
from roadstead_backends.kubernetes.transport import APPLY, MERGE, Limits, Transport
from tests.cluster.certificates import Authority
from tests.cluster.cluster import Cluster
from tests.kubernetes.client.apiserver import gone
from tests.kubernetes.client.connecting import chance, connected

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

_SOON = Duration(120_000)
_LIMITS = Limits(connect=Duration(5_000), read=Duration(10_000), whole=Duration(20_000))
_QUICK = Following(page=7, steady=Duration(500), pace=Pace(first=Duration(5), longest=Duration(500)))
_WATCH, _LIST = "configmaps.*watch=1", r"configmaps\?limit"


class ConfigMap(msgspec.Struct, frozen=True, gc=False):
    """The simplest object that there is: nobody does anything with it."""

    metadata: Meta
    data: dict[str, str] = {}


@attrs.define
class Scene:
    """A namespace on a real API server, the proxy before it, and a service account that connects through that."""

    cluster: Cluster
    namespace: str
    proxy: FaultProxy
    transport: Transport

    @property
    def path(self) -> str:
        """Where the ConfigMaps of the namespace are."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def put(self, name: str, **data: str) -> None:
        """Make a ConfigMap, or change it, not through the proxy."""
        body = {"metadata": {"name": name}, "data": data}
        if self.cluster.api.find(f"{self.path}/{name}") is None:
            self.cluster.api.create(self.path, body)
        else:
            self.cluster.api.patch(f"{self.path}/{name}", {"data": data})

    def delete(self, name: str) -> None:
        """Delete a ConfigMap, not through the proxy."""
        self.cluster.api.delete(f"{self.path}/{name}")

    @property
    def listed(self) -> dict[str, dict[str, str]]:
        """What the server has, by name."""
        return {one["metadata"]["name"]: one.get("data", {}) for one in self.cluster.api.get(self.path)["items"]}

    def make(self, name: str, **query: str) -> Meta:
        """Make a ConfigMap through the proxy; return its metadata."""
        body = json.dumps({"metadata": {"name": name}}).encode()
        answer = self.transport.call("POST", self.path, body=body, query=query, subject=name)
        return msgspec.json.decode(answer.body, type=ConfigMap).metadata

    @contextmanager
    def reflecting(self, following: Following = _QUICK) -> Iterator[Reflector[ConfigMap]]:
        """Have the ConfigMaps followed meanwhile."""
        reflector = Reflector(self.transport, self.path, ConfigMap, following=following, chance=chance(0))
        reflector.start()
        try:
            yield reflector
        finally:
            reflector.close()

    def shows_all(self, reflector: Reflector[ConfigMap], within: Duration = _SOON) -> bool:
        """Wait until a reflector shows what the server has."""
        return becomes(
            reflector,
            lambda: {name: one.data for (_, name), one in reflector.objects().items()} == self.listed,
            within,
        )


def _applied(rule: Rule) -> Callable[[FaultProxy], bool]:
    return lambda proxy: any(one.rule is rule for one in proxy.applied)


def becomes(reflector: Reflector[ConfigMap], until: Callable[[], bool], within: Duration = _SOON) -> bool:
    """Wait until something is so, looking again whenever the reflector moved."""
    return reflector._wait(until, within)


@pytest.fixture
def scene(control_plane: Cluster, namespace: str, tmp_path: Path) -> Iterator[Scene]:
    """All of it, healed at the end."""
    api, plane = control_plane.api, control_plane.plane
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "client"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps", "resourcequotas"], "verbs": ["*"]}]
    api.create(f"{rbac}/roles", {"metadata": {"name": "client"}, "rules": rules})
    binding = {
        "metadata": {"name": "client"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "client"},
        "subjects": [{"kind": "ServiceAccount", "name": "client", "namespace": namespace}],
    }
    api.create(f"{rbac}/rolebindings", binding)
    asked = api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/client/token", {"spec": {}})
    ours = Authority.create("proxy-authority", dt.datetime.now(dt.UTC))
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(*ours.issue("proxy", addresses=[IPv4Address("127.0.0.1")]).write(tmp_path, "proxy"))
    theirs = ssl.create_default_context(cadata=plane.authority.certificate.decode())
    trusting = {"certificate-authority-data": base64.b64encode(ours.certificate).decode()}
    with ExitStack() as stack:
        stack.callback(control_plane.heal)
        proxy = stack.enter_context(FaultProxy(plane.server, trusts=theirs, tls=shown))
        user = {"token": asked["status"]["token"]}
        transport = stack.enter_context(connected(tmp_path, proxy.url, _LIMITS, cluster=trusting, user=user))
        yield Scene(control_plane, namespace, proxy, transport)


# ---- what it answers ----


def test_its_refusals_are_ours(scene: Scene) -> None:
    """Each as the kind that decides what is done next."""
    made = scene.make("a")
    call, path = scene.transport.call, scene.path
    other = json.dumps({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}).encode()
    older = json.dumps({"metadata": {"resourceVersion": made.resource_version}, "data": {"b": "c"}}).encode()
    scene.put("a", b="b")
    refusals: list[tuple[type[BackendError], Callable[[], object]]] = [
        (AlreadyExists, lambda: scene.make("a")),
        (NotFound, lambda: call("GET", f"{path}/nothing")),
        (Conflict, lambda: call("DELETE", f"{path}/a", body=other)),
        (Conflict, lambda: call("PATCH", f"{path}/a", body=older, content_type=MERGE)),
        (Forbidden, lambda: call("GET", f"/api/v1/namespaces/{scene.namespace}/secrets")),
        (Forbidden, lambda: call("GET", "/api/v1/configmaps")),
        (Rejected, lambda: scene.make("NOT A NAME")),
        (Rejected, lambda: call("POST", path, body=b"{")),
        (Rejected, lambda: call("POST", path, body=b'{"metadata":{"name":"b"},"oops":1}', query=_STRICT)),
    ]
    assert [] == [kind for kind, refused in refusals if not _raises(kind, refused)]


_STRICT = {"fieldValidation": "Strict"}


def _raises(kind: type[BackendError], call: Callable[[], object]) -> bool:
    with pytest.raises(BackendError) as raised:
        call()
    return type(raised.value) is kind


def test_a_full_quota_is_no_lack_of_rights(scene: Scene) -> None:
    """Both are a 403, and mean the opposite for what is to be done."""
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"count/configmaps": "1"}}}
    quotas = f"/api/v1/namespaces/{scene.namespace}/resourcequotas"
    scene.cluster.api.create(quotas, quota)
    # kube-root-ca.crt is one that Kubernetes makes itself
    scene.cluster.api.wait(f"{quotas}/full", lambda one: one.get("status", {}).get("used", {}).get("count/configmaps"))
    scene.cluster.api.wait(f"{scene.path}/kube-root-ca.crt", bool)
    with pytest.raises(OutOfCapacity, match="exceeded quota"):
        scene.make("a")


def test_an_apply_that_takes_a_field_says_from_whom(scene: Scene) -> None:
    """The other manager and the field, as the server of today words it."""
    scene.cluster.api.patch(
        f"{scene.path}/a",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"size": "1"}},
        "apply",
        fieldManager="somebody",
    )
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"size":"2"}}'
    with pytest.raises(Contested) as contested:
        scene.transport.call(
            "PATCH", f"{scene.path}/a", body=body, content_type=APPLY, query={"fieldManager": "roadstead"}
        )
    assert (FieldOwner("somebody", ".data.size"),) == contested.value.owners


def test_a_token_that_it_does_not_know(scene: Scene, tmp_path: Path) -> None:
    """401 is a lack of credentials, and says so."""
    plane = scene.cluster.plane
    trusted = {"certificate-authority-data": base64.b64encode(plane.authority.certificate).decode()}
    refused = pytest.raises(Forbidden, match="401")
    with connected(tmp_path, plane.server, _LIMITS, cluster=trusted, user={"token": "made-up"}) as stranger, refused:
        stranger.call("GET", scene.path)


@pytest.mark.parametrize("named", [{}, {"tls-server-name": "elsewhere.example"}], ids=["authority", "name"])
def test_a_server_that_is_not_the_one_that_it_should_be(scene: Scene, tmp_path: Path, named: dict[str, str]) -> None:
    """Another authority than its own, or another name than in its certificate: not a byte is sent."""
    plane = scene.cluster.plane
    known = plane.authority if named else Authority.create("wrong", dt.datetime.now(dt.UTC))
    trusted = {"certificate-authority-data": base64.b64encode(known.certificate).decode()} | named
    doubted = pytest.raises(Unreachable, match="not trusted")
    with connected(tmp_path, plane.server, _LIMITS, cluster=trusted, user={"token": "secret"}) as doubting, doubted:
        doubting.call("GET", scene.path)


# ---- what is followed ----


def test_it_follows_what_happens(scene: Scene) -> None:
    """From pages of a list, and from then on by the watch alone."""
    for at in range(20):
        scene.put(f"map-{at}", at=str(at))
    with scene.reflecting() as reflector:
        assert scene.shows_all(reflector)
        for at in range(0, 20, 3):
            scene.delete(f"map-{at}")
        scene.put("map-1", at="changed")
        scene.put("new")
        assert scene.shows_all(reflector)
    lists = [one for one in scene.proxy.exchanges if "limit=" in one.target and "continue" not in one.target]
    assert 1 == len(lists)


def test_what_we_wrote_is_shown_once_we_waited_for_it(scene: Scene) -> None:
    """Each of many writes, and each removal, at once after it was acknowledged."""
    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        for at in range(30):
            made = scene.make(f"map-{at}")
            reflector.expect(made)
            assert reflector.catch_up(_SOON)
            assert reflector.get((scene.namespace, made.name)) is not None
            scene.transport.call("DELETE", f"{scene.path}/{made.name}")
            reflector.expect_gone((scene.namespace, made.name), made.uid)
            assert reflector.catch_up(_SOON)
            assert reflector.get((scene.namespace, made.name)) is None


def test_bookmarks_carry_it_on_though_nothing_of_its_own_happens(scene: Scene) -> None:
    """The server sends one before it ends a watch: so the next one does not begin where history is forgotten."""
    brief = attrs.evolve(_QUICK, lasts=(Duration(4_000), Duration(4_000)))
    with scene.reflecting(brief) as reflector:
        assert reflector.wait_until_synced(_SOON)
        elsewhere = scene.cluster.api.create(
            "/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "x-"}}
        )
        name, version = elsewhere["metadata"]["name"], int(elsewhere["metadata"]["resourceVersion"])
        scene.cluster.api.delete(f"/api/v1/namespaces/default/configmaps/{name}")
        assert becomes(reflector, lambda: reflector.version >= version)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_on_the_way_nothing_is_lost(scene: Scene, seed: int) -> None:
    """Changes and faults by chance; in the end it shows what the server has, and its changes lead there too."""
    dice = chance(seed)
    faults: list[Fault] = [
        Cut(200),
        Cut(3_000),
        Truncate(900),
        Insert(gone()),
        Silence(400),
        LoseRequest(),
        LoseReply(),
    ]
    faults += [Reply(500, b"{}"), Reply(429, b"{}"), Reply(503, b"{}"), Stale()]
    following = attrs.evolve(_QUICK, idle=Duration(300))
    known: dict[tuple[str, str], ConfigMap | None] = {}
    with scene.reflecting(following) as reflector:
        assert reflector.wait_until_synced(_SOON)
        for at in range(60):
            name = f"map-{dice.randrange(12)}"
            if dice.random() < 0.3 and name in scene.listed:
                scene.delete(name)
            else:
                scene.put(name, at=str(at))
            if dice.random() < 0.3:
                listing = dice.random() < 0.5
                rule = scene.proxy.add(Rule(dice.choice(faults), path=_LIST if listing else _WATCH))
                if listing:
                    reflector.refresh(Duration(300))
                else:
                    scene.proxy.cut(_WATCH)
                    scene.proxy.wait_for(_applied(rule), Duration(10_000))
                scene.proxy.remove(rule)
            if dice.random() < 0.2:
                changes = reflector.changes()
                known = dict(changes.objects) if changes.everything else {**known, **changes.objects}
        assert scene.shows_all(reflector)
        changes = reflector.changes()
        known = dict(changes.objects) if changes.everything else {**known, **changes.objects}
        assert dict(reflector.objects()) == {key: one for key, one in known.items() if one is not None}
    assert len({type(one.rule.fault) for one in scene.proxy.applied}) >= 3


# ---- parts that stop and die ----


def test_etcd_that_stands_still(scene: Scene) -> None:
    """Reads find nobody, writes may have happened, and what is shown stays; when it goes on, all is caught up with."""
    scene.put("a")
    with scene.reflecting() as reflector:
        assert scene.shows_all(reflector)
        scene.cluster.part("etcd").freeze()
        with pytest.raises((Unreachable, BackendError)) as read:
            scene.transport.call("GET", scene.path)
        with pytest.raises(OutcomeUnknown):
            scene.make("lost")
        assert isinstance(read.value, BackendError)
        assert not isinstance(read.value, OutcomeUnknown)
        assert not reflector.refresh(Duration(500))
        assert (scene.namespace, "a") in reflector.objects()
        scene.cluster.part("etcd").thaw()
        scene.cluster.plane.wait_ready()
        scene.put("b")
        assert scene.shows_all(reflector)


def test_an_api_server_that_is_killed(scene: Scene) -> None:
    """It is trouble at once; a write to nobody has not happened; and once there is a new one, it goes on."""
    scene.put("a")
    with scene.reflecting() as reflector:
        assert scene.shows_all(reflector)
        scene.cluster.part("kube-apiserver").kill()
        assert becomes(reflector, lambda: reflector.trouble is not None)
        assert reflector.trouble is not None
        assert isinstance(reflector.trouble.error, Unreachable)
        with pytest.raises((Unreachable, OutcomeUnknown)):
            scene.make("b")
        assert (scene.namespace, "a") in reflector.objects()
        scene.cluster.part("kube-apiserver").start()
        scene.cluster.plane.wait_ready()
        scene.put("c")
        scene.delete("a")
        assert scene.shows_all(reflector)
        assert becomes(reflector, lambda: reflector.trouble is None)


def test_writers_through_it_all(scene: Scene) -> None:
    """Every write that was acknowledged is there in the end, though the server was killed in between."""
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        at = 0
        while not stop.is_set():
            at += 1
            try:
                acknowledged.append(scene.make(f"map-{at}").name)
            except BackendError:
                stop.wait(0.05)

    with scene.reflecting() as reflector:
        assert reflector.wait_until_synced(_SOON)
        writing = threading.Thread(target=write)
        writing.start()
        assert becomes(reflector, lambda: len(reflector.objects()) > 20)
        scene.cluster.part("kube-apiserver").restart()
        scene.cluster.plane.wait_ready()
        count = len(acknowledged)
        assert becomes(reflector, lambda: len(acknowledged) > count + 20)
        stop.set()
        writing.join()
        assert scene.shows_all(reflector)
        assert set() == set(acknowledged) - {name for _, name in reflector.objects()}
