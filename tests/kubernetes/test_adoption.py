"""Taking over a running Deployment: the same pods, under our rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import yaml

from roadstead.errors import Rejected, Retryable
from roadstead.spi.backend import ABSENT, BackendContext, Expect, GroupOrder
from roadstead.template import revision
from roadstead.world import Group, GroupKey, Phase
from roadstead_backends.kubernetes.adoption import as_live
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.importing import imported
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.cluster import Cluster
from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import Chances
from tests.cluster.standin_node import NodeShape
from tests.cluster.waiting import until
from tests.kubernetes.orders import order_of

LEGACY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy}
spec:
  replicas: 2
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: tf
          image: tensorflow/serving:2.20.0
          args: [--model_name=minilm, --model_base_path=/models/minilm, --rest_api_port=8601]
          ports: [{containerPort: 8500}, {containerPort: 8601}]
          resources: {limits: {cpu: 100m, memory: 64Mi}}
          volumeMounts: [{name: models, mountPath: /models}]
      volumes: [{name: models, hostPath: {path: /srv/models}}]
"""


def the_order(native: str = "deployment/legacy", image: str = "tensorflow/serving:2.20.0") -> GroupOrder:
    """Return an order for what an import of it would declare, perhaps with another image."""
    template = imported(yaml.safe_load(LEGACY)).template
    assert template is not None
    wanted = attrs.evolve(template, runtime=attrs.evolve(template.runtime, image=image))
    return attrs.evolve(order_of(wanted), adopts=native)


def test_what_cannot_be_read_from_what_runs_counts_as_equal() -> None:
    """A version, probes and batching are as ordered; the image and the limits are as they run."""
    ordered, live = the_order(image="tensorflow/serving:2.21.0").template, the_order().template
    ordered = attrs.evolve(ordered, model=attrs.evolve(ordered.model, version=7))
    found = as_live(ordered, live)
    assert (7, "tensorflow/serving:2.20.0") == (found.model.version, found.runtime.image)
    assert ordered.health == found.health
    assert live == as_live(live, live)


# ---- on a real API server ----


@pytest.fixture(scope="module")
def node(control_plane: Cluster) -> Iterator[None]:
    """A stand-in node."""
    chances = Chances(create=(0.0, 0.01), start=(0.0, 0.01), ready=(0.0, 0.01), stop=(0.0, 0.01))
    access = Access.from_kubeconfig(control_plane.kubeconfig)
    with Standin(access, [NodeShape(name="a-0")], chances=chances, heartbeat=2):
        control_plane.api.wait("/api/v1/nodes/a-0", lambda node: not node["spec"].get("taints"))
        yield
    control_plane.api.delete("/api/v1/nodes/a-0", missing_ok=True)


@attrs.define
class Place:
    """A namespace with somebody's Deployment in it, and a backend of ours."""

    cluster: Cluster
    namespace: str
    backend: KubernetesBackend

    def pods(self) -> dict[str, str]:
        """Return the pods' names and uids."""
        found = self.cluster.api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def adopt(self, order: GroupOrder) -> None:
        """Ask for it as often as it takes."""

        def asked() -> bool:
            self.backend.observe()
            try:
                self.backend.apply(order, 2, expect=ABSENT)
            except Retryable:
                return False
            return True

        until(asked, every=0.3)

    def seen(self) -> Group:
        """Return the one group that we see, once all of it runs."""

        def whole() -> Group | None:
            groups = self.backend.observe().groups
            if len(groups) != 1 or not groups[0].replicas:
                return None
            running = all(one.phase is Phase.RUNNING for one in groups[0].replicas)
            return groups[0] if running and len(groups[0].replicas) == groups[0].target else None

        return until(whole, every=0.1)


@pytest.fixture
def place(control_plane: Cluster, node: None, namespace: str, tmp_path: Path) -> Iterator[Place]:
    """Two pods of somebody's Deployment run."""
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=LEGACY)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/legacy"
    control_plane.api.wait(path, lambda one: one.get("status", {}).get("readyReplicas") == 2)
    options = KubernetesOptions(kubeconfig=control_plane.kubeconfig, namespace=namespace)
    context = BackendContext(
        cluster="prod", fleet="shop", owner_id="0f1e2d", options=options, scheduling=None, root=tmp_path
    )
    backend = connect(context)
    yield Place(control_plane, namespace, backend)
    backend.close()


@pytest.mark.kubernetes
def test_the_same_pods_go_on_under_our_rule(place: Place) -> None:
    """The Deployment is gone, no pod was touched, and the group is the one that was wanted: equal to the file."""
    before, order = place.pods(), the_order()
    place.adopt(order)
    group = place.seen()
    assert before == place.pods()
    assert place.cluster.api.find(f"/apis/apps/v1/namespaces/{place.namespace}/deployments/legacy") is None
    assert order.key == group.key
    assert not group.has_drifted
    assert {(8500, 8601)} == {(one.endpoint.grpc, one.endpoint.rest) for one in group.replicas if one.endpoint}
    assert set(before) == {one.id for one in group.replicas}


@pytest.mark.kubernetes
def test_it_scales_and_goes_like_any_group_of_ours(place: Place) -> None:
    """New pods of it are ours, too; a count is put right; deleting it takes its pods away."""
    order = the_order()
    place.adopt(order)
    place.backend.apply(order, 3, expect=Expect(place.seen().version))
    group = place.seen()
    assert 3 == len(group.replicas)
    assert not group.has_drifted
    place.backend.delete(order.key, grace=order.template.stop.kill_after, expect=Expect(group.version))
    until(lambda: not place.pods() and not place.backend.observe().groups, every=0.1)


@pytest.mark.kubernetes
def test_what_differs_from_the_file_is_the_old_revision(place: Place) -> None:
    """The file names a newer image: what was taken over is another group than the wanted one, made next to it."""
    order = the_order(image="tensorflow/serving:2.21.0")
    place.adopt(order)
    group = place.seen()
    assert GroupKey("minilm", revision(the_order().template)) == group.key
    assert order.key != group.key
    place.backend.apply(order, 1, expect=ABSENT)
    assert {order.key, group.key} == {one.key for one in place.backend.observe().groups}


@pytest.mark.kubernetes
def test_in_the_middle_of_a_rollout_it_is_left_alone(place: Place) -> None:
    """Two ReplicaSets have pods: taking over one of them would lose the other."""
    path = f"/apis/apps/v1/namespaces/{place.namespace}/deployments/legacy"
    stuck = {"template": {"metadata": {"annotations": {"standin.roadstead.dev/behaviour": "never-ready"}}}}
    place.cluster.api.patch(path, {"spec": stuck})
    until(lambda: len(place.pods()) == 3)
    place.backend.observe()
    with pytest.raises(Rejected, match="middle of a rollout"):
        place.backend.apply(the_order(), 2, expect=ABSENT)
    assert place.cluster.api.find(path) is not None


@pytest.mark.kubernetes
def test_a_bare_set_is_taken_over_too(place: Place) -> None:
    """One that nobody looks after any more needs nothing let go of."""
    path = f"/apis/apps/v1/namespaces/{place.namespace}"
    (found,) = place.cluster.api.get(f"{path}/replicasets")["items"]
    place.cluster.api.delete(f"{path}/deployments/legacy", propagationPolicy="Orphan")
    place.cluster.api.wait(
        f"{path}/replicasets/{found['metadata']['name']}", lambda one: not one["metadata"].get("ownerReferences")
    )
    before = place.pods()
    place.adopt(the_order(f"replicaset/{found['metadata']['name']}"))
    assert set(before) == {one.id for one in place.seen().replicas}
