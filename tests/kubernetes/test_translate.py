"""What is ordered becomes the objects of Kubernetes, whole, or is refused with the reason."""

from __future__ import annotations

import json
import re
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.decide.eligibility import shortfalls
from roadstead.model import (
    Constraint,
    GpuPart,
    GpuPartition,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    Secret,
    Spread,
    StopSpec,
    Template,
    Variable,
    WholeGpus,
)
from roadstead.spi.runtime import ConfigFile, Launch, Program
from roadstead.template import from_canonical
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import GroupKey
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.abilities import capabilities
from roadstead_backends.kubernetes.drift import differences
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.objects import ReplicaSet
from roadstead_backends.kubernetes.pod_options import HostMount, PodOptions, PullPolicy, Toleration, pod_options
from roadstead_backends.kubernetes.probes import grace_s, is_hurried
from roadstead_backends.kubernetes.services import budget, group_service, service
from roadstead_backends.kubernetes.translate import counts, pod_template, replica_set
from tests.kubernetes.orders import LAUNCH, order_of, template_with, templates

Json = dict[str, Any]


def pod_of(template: Template, *, launch: Launch = LAUNCH, directed: bool = False) -> Json:
    """Return the pod's specification."""
    spec: Json = pod_template(order_of(template, launch=launch), directed=directed)["spec"]
    return spec


def server_of(template: Template, *, launch: Launch = LAUNCH) -> Json:
    """Return the container with the server."""
    (server,) = pod_of(template, launch=launch)["containers"]
    found: Json = server
    return found


# ---- the group ----


@settings(max_examples=40)
@given(templates())
def test_a_group_carries_what_it_was_ordered_with(template: Template) -> None:
    """Template, owner, generation and key can be read back from the object as the API server has it."""
    order = order_of(template, generation=7)
    document = replica_set(order, 3, directed=False)
    stored = msgspec.json.decode(msgspec.json.encode(document), type=ReplicaSet)
    annotations = stored.metadata.annotations
    assert template == from_canonical(annotations[names.TEMPLATE])
    assert ("search", "7", "1") == tuple(annotations[one] for one in (names.OWNER, names.GENERATION, names.WRITTEN))
    assert (order.key, 3) == (names.key_of(stored.metadata.labels), stored.spec.replicas)


@settings(max_examples=40)
@given(templates())
def test_a_group_carries_the_rendering_that_its_pods_are_made_from(template: Template) -> None:
    """What drift is measured against is what was written, exactly."""
    document = replica_set(order_of(template), 1, directed=False)
    rendering = json.loads(document["metadata"]["annotations"][names.RENDERING])
    assert document["spec"]["template"] == rendering
    assert [] == list(differences(rendering, document["spec"]["template"], "spec.template"))


@settings(max_examples=40)
@given(templates())
def test_names_and_labels_are_such_as_the_api_server_takes(template: Template) -> None:
    """At most 63 characters, and a selector that finds the group's own pods alone."""
    document = replica_set(order_of(template), 1, directed=False)
    name, labels = document["metadata"]["name"], document["metadata"]["labels"]
    assert re.fullmatch("[a-z]([a-z0-9-]{0,61}[a-z0-9])?", name)
    assert all(re.fullmatch("([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value) for value in labels.values())
    assert labels == document["spec"]["selector"]["matchLabels"]
    assert labels.items() <= document["spec"]["template"]["metadata"]["labels"].items()


def test_the_longest_names_still_fit() -> None:
    """A fleet of 16 characters and a deployment of 35 make a name of 63."""
    assert 63 == len(names.group_name("f" * 16, GroupKey("d" * 35, "abcdefghij")))


def test_an_existing_group_is_told_counts_and_never_a_template() -> None:
    """Nothing else is in what is applied: what an applying manager once owned and leaves out is removed."""
    document = counts(order_of(template_with(), generation=4), 5, written="9")
    assert {"replicas": 5} == document["spec"]
    assert {names.OWNER: "search", names.GENERATION: "4", names.WRITTEN: "9"} == document["metadata"]["annotations"]
    assert "labels" not in document["metadata"]


def test_a_count_that_is_somebody_else_s_affair_is_not_sent() -> None:
    """An autoscaler's count stays its own."""
    assert "spec" not in counts(order_of(template_with()), None, written="1")


def test_nothing_belongs_to_another_object() -> None:
    """Whoever removes one object of ours does not remove the model servers with it."""
    order = order_of(template_with())
    made = (
        replica_set(order, 1, directed=False),
        group_service(order),
        service("shop", "0f1e2d", "minilm"),
        budget("shop", "0f1e2d", "minilm", 2),
    )
    assert not any("ownerReferences" in document["metadata"] for document in made)


# ---- resources ----


@settings(max_examples=40)
@given(templates())
def test_limits_equal_requests(template: Template) -> None:
    """Nobody is promised less than it may use."""
    for container in (one for kind in ("containers", "initContainers") for one in pod_of(template).get(kind, ())):
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_amounts_are_written_as_the_api_server_writes_them() -> None:
    """So what comes back is what was written."""
    resources = Resources(cpu=Cpus(1500), memory=Memory(2 * 1024**3), disk=Memory(10**9))
    limits = server_of(template_with(resources=resources))["resources"]["limits"]
    assert {"cpu": "1500m", "memory": "2Gi", "ephemeral-storage": "1G"} == limits


def test_whole_gpus_are_asked_for_by_count_and_model_and_memory() -> None:
    """The labels of GPU feature discovery say which nodes have such devices."""
    gpu = WholeGpus(count=2, models=("NVIDIA-H100",), memory=Memory(20 * 1024**3))
    pod = pod_of(template_with(resources=Resources(gpu=gpu)))
    assert "2" == pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-H100"]},
        {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["20479"]},
    ] == term["matchExpressions"]
    assert "nvidia.com/gpu" in [one["key"] for one in pod["tolerations"]]


def test_a_partition_is_a_resource_of_its_own() -> None:
    """MIG in its mixed strategy."""
    limits = server_of(template_with(resources=Resources(gpu=GpuPartition("1g.10gb"))))["resources"]["limits"]
    assert "1" == limits["nvidia.com/mig-1g.10gb"]


def test_a_share_of_a_gpu_is_refused() -> None:
    """Nothing in a cluster would enforce it."""
    with pytest.raises(ValueError, match="share"):
        pod_of(template_with(resources=Resources(gpu=GpuPart(share=GpuShare(500)))))


def test_claims_are_made_from_templates_by_name() -> None:
    """Each replica has a claim of its own from each template (DRA)."""
    pod = pod_of(template_with(PodOptions(resource_claims=("half-a-gpu",))))
    assert [{"name": "claim-0", "resourceClaimTemplateName": "half-a-gpu"}] == pod["resourceClaims"]
    assert [{"name": "claim-0"}] == pod["containers"][0]["resources"]["claims"]


# ---- where ----


def test_constraints_become_node_affinity() -> None:
    """Short names of attributes stand for the well-known labels."""
    constraints = (
        Constraint(attribute="zone", operator=Operator.IN, values=("a", "b")),
        Constraint(attribute="example.com/disk", operator=Operator.EXISTS),
        Constraint(attribute="hostname", operator=Operator.NOT_IN, values=("old",)),
    )
    pod = pod_of(template_with(placement=PlacementSpec(constraints=constraints)))
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
        {"key": "example.com/disk", "operator": "Exists"},
        {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["old"]},
    ] == term["matchExpressions"]


@pytest.mark.parametrize(
    "placement",
    [
        PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.MATCHES, values=("a.*",)),)),
        PlacementSpec(spread=Spread(by="zone", max_per=2)),
    ],
)
def test_what_kube_scheduler_cannot_do_is_refused(placement: PlacementSpec) -> None:
    """Patterns, and caps of more than one; where our placement picks the node, both are ours to keep."""
    template = template_with(placement=placement)
    with pytest.raises(ValueError, match="kube-scheduler cannot"):
        pod_of(template)
    assert "affinity" not in pod_of(template, directed=True)


def test_replicas_of_all_revisions_are_spread_together() -> None:
    """The selector has the deployment in it and no revision."""
    (even,) = pod_of(template_with(placement=PlacementSpec(spread=Spread(by="zone"))))["topologySpreadConstraints"]
    assert ("topology.kubernetes.io/zone", "ScheduleAnyway") == (even["topologyKey"], even["whenUnsatisfiable"])
    labels = even["labelSelector"]["matchLabels"]
    assert names.DEPLOYMENT in labels
    assert names.REVISION not in labels


def test_a_hard_cap_of_one_keeps_siblings_apart() -> None:
    """Over all revisions, by a rule that the scheduler must keep."""
    pod = pod_of(template_with(placement=PlacementSpec(spread=Spread(by="hostname", max_per=1))))
    (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert "kubernetes.io/hostname" == apart["topologyKey"]
    assert names.REVISION not in apart["labelSelector"]["matchLabels"]


def test_a_lost_node_is_given_up_after_as_long_as_the_owner_says() -> None:
    """Not after the five minutes that are the cluster's default."""
    pod = pod_of(template_with(health=HealthSpec(node_lost_after=Duration(12_500))))
    lost = {one["key"]: one["tolerationSeconds"] for one in pod["tolerations"] if "tolerationSeconds" in one}
    assert {"node.kubernetes.io/not-ready": 13, "node.kubernetes.io/unreachable": 13} == lost


def test_a_pod_that_we_place_is_left_to_us() -> None:
    """No other scheduler looks at it, and no rule of placement is written twice."""
    pod = pod_of(template_with(), directed=True)
    assert names.SCHEDULER == pod["schedulerName"]
    assert "topologySpreadConstraints" not in pod


# ---- the server ----


def test_variables_of_a_launch_are_filled_in_and_all_else_stays_as_it_is() -> None:
    """Kubernetes fills in once more, so whatever is not ours is written such that it comes out as it was."""
    server = server_of(template_with(env=(Variable("PRICE", "5$(HOME)"),)))
    assert [
        "--port=8500",
        "--model_config_file=/srv/roadstead/config/models.config",
        "--host=0.0.0.0",
        "--odd=$$(NOBODY)$$$$",
    ] == server["args"]
    assert {"name": "PRICE", "value": "5$$(HOME)"} in server["env"]


def test_configuration_files_travel_with_the_pod() -> None:
    """As annotations that the kubelet writes into a volume: no second object can be missing or left over."""
    template = pod_template(order_of(template_with()), directed=False)
    key = f"{names.CONFIG_PREFIX}models.config"
    assert 'base_path: "/srv/roadstead/model"\n' == template["metadata"]["annotations"][key]
    (volume,) = [one for one in template["spec"]["volumes"] if "downwardAPI" in one]
    (item,) = volume["downwardAPI"]["items"]
    assert ("models.config", f"metadata.annotations['{key}']") == (item["path"], item["fieldRef"]["fieldPath"])


def test_a_file_whose_name_cannot_be_an_annotation_is_refused() -> None:
    """It is the runtime's error, and said before anything is made."""
    launch = attrs.evolve(LAUNCH, files=(ConfigFile("../models", ""),))
    with pytest.raises(ValueError, match="annotation"):
        pod_of(template_with(), launch=launch)


def test_a_python_module_is_run_by_the_image_s_own_interpreter() -> None:
    """Unless the deployment says what to run."""
    launch = attrs.evolve(LAUNCH, program=Program(module="some.server"))
    assert ["python3", "-u", "-m", "some.server"] == server_of(template_with(), launch=launch)["command"]
    own = template_with(PodOptions(command=("/opt/serve",)))
    assert ["/opt/serve"] == server_of(own, launch=launch)["command"]


def test_a_template_without_an_image_is_refused() -> None:
    """A cluster runs containers."""
    with pytest.raises(ValueError, match="image"):
        pod_of(template_with(), launch=attrs.evolve(LAUNCH, image=None))


def test_secrets_are_references_and_never_values() -> None:
    """The kubelet looks them up; only the names are stored."""
    server = server_of(template_with(secrets=(Secret(name="TOKEN", ref="kubernetes:registry/token"),)))
    assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "registry", "key": "token"}}} in server["env"]


def test_a_secret_from_elsewhere_is_refused() -> None:
    """A file of this machine, or our own environment, is not there."""
    with pytest.raises(ValueError, match="kubernetes:secret/key"):
        pod_of(template_with(secrets=(Secret(name="TOKEN", ref="file:/run/token"),)))


@settings(max_examples=40)
@given(templates())
def test_pods_pass_the_restricted_standard_but_for_folders_of_the_node(template: Template) -> None:
    """What `restricted` namespaces ask for; hostPath volumes are what somebody asked for with a path."""
    pod = pod_of(template)
    assert pod["securityContext"]["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == pod["securityContext"]["seccompProfile"]
    assert not pod["automountServiceAccountToken"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        confined = container["securityContext"]
        assert (False, {"drop": ["ALL"]}) == (confined["allowPrivilegeEscalation"], confined["capabilities"])
        assert confined["readOnlyRootFilesystem"]
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"emptyDir", "downwardAPI", "persistentVolumeClaim", "image", "hostPath"}
    assert ("hostPath" in kinds) == ("://" not in template.model.source)


# ---- life and death ----


def test_the_three_probes_ask_three_things() -> None:
    """Start-up waits as long as it may take, liveness is slow to judge, readiness knows the version."""
    server = server_of(
        template_with(health=HealthSpec(start_within=Duration(61_000), every=Duration(5_000), failures=3))
    )
    assert (1, 61) == (server["startupProbe"]["periodSeconds"], server["startupProbe"]["failureThreshold"])
    assert 5 == server["readinessProbe"]["periodSeconds"]
    assert {"port": 8500} == server["startupProbe"]["tcpSocket"]
    assert server["livenessProbe"]["timeoutSeconds"] >= 3
    assert server["livenessProbe"]["failureThreshold"] * 5 >= 30
    assert "/v1/models/minilm/versions/1" == server["readinessProbe"]["httpGet"]["path"]
    assert 3 == server["readinessProbe"]["failureThreshold"]


def test_a_server_that_says_when_its_model_is_available_is_asked_for_that() -> None:
    """It listens before; whether it hangs is another question. What another command starts is not asked."""
    launch = attrs.evolve(LAUNCH, says_health=True)
    server = server_of(template_with(), launch=launch)
    health = {"port": 8500}
    assert (health, health) == (server["startupProbe"]["grpc"], server["readinessProbe"]["grpc"])
    assert health == server["livenessProbe"]["tcpSocket"]
    other = server_of(template_with(PodOptions(command=("serve",))), launch=launch)
    assert "tcpSocket" in other["startupProbe"]
    assert "httpGet" in other["readinessProbe"]


@settings(max_examples=40)
@given(templates(), st.booleans())
def test_a_pod_may_take_as_long_to_end_as_it_goes_on_serving_and_more(template: Template, finishes: bool) -> None:
    """Whoever is picked without having been drained has the time to be noticed and to drain, and then to end."""
    pod = pod_of(template, launch=attrs.evolve(LAUNCH, finishes=finishes))
    grace, sleep = pod["terminationGracePeriodSeconds"], _sleep_of(pod)
    drain, kill = template.stop.drain_within.seconds, template.stop.kill_after.seconds
    drains = finishes and not pod_options(template).command
    assert (0 if not drain else 5 if drains else 5 + drain) == sleep
    assert grace >= (5 + drain if drain else 0) + kill


def test_what_another_command_starts_is_not_taken_to_finish_what_it_has() -> None:
    """Only of the runtime's own program is known what it does at SIGTERM."""
    stop, launch = StopSpec(drain_within=Duration(30_000)), attrs.evolve(LAUNCH, finishes=True)
    own = pod_of(template_with(stop=stop), launch=launch)
    other = pod_of(template_with(PodOptions(command=("serve",)), stop=stop), launch=launch)
    assert (5, 35) == (_sleep_of(own), _sleep_of(other))


def _sleep_of(pod: Json) -> int:
    seconds: int = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    return seconds


@given(drain=st.integers(0, 60_000), kill=st.integers(0, 60_000))
def test_only_a_grace_without_the_time_to_drain_is_an_order_to_hurry(drain: int, kill: int) -> None:
    """Whoever was drained has only its time to end; whoever was not is left to the time of its pod."""
    whole = grace_s(StopSpec(drain_within=Duration(drain), kill_after=Duration(kill)))
    assert not is_hurried(Duration(drain + kill), whole)
    assert is_hurried(Duration(kill), whole) or drain <= 3_000


def test_who_has_nothing_to_drain_ends_at_once() -> None:
    """No sleep is written at all."""
    assert "lifecycle" not in server_of(template_with(stop=StopSpec(drain_within=Duration(0))))


def test_another_process_is_the_pod_s_first() -> None:
    """A first process without a handler outlives SIGTERM, and every stop would take all of its grace."""
    assert pod_of(template_with())["shareProcessNamespace"]
    assert "shareProcessNamespace" not in pod_of(template_with(PodOptions(share_processes=False)))


# ---- models ----


def model_of(source: str, *, digest: str | None = None, options: PodOptions | None = None) -> Json:
    """Return the pod for a model from somewhere."""
    model = ModelSpec(name="minilm", source=source, version=3, digest=digest)
    return pod_of(template_with(options, model=model))


@pytest.mark.parametrize(
    ("source", "volume", "path"),
    [
        ("/models/minilm", {"hostPath": {"path": "/models/minilm", "type": "Directory"}}, None),
        ("pvc://models", {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}, None),
        ("pvc://models/a/b", {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}, "a/b"),
        ("oci://registry/m@sha256:ab", {"image": {"reference": "registry/m@sha256:ab"}}, None),
    ],
)
def test_a_model_is_a_volume_that_the_server_cannot_write(source: str, volume: Json, path: str | None) -> None:
    """Wherever it comes from, it is in the same folder."""
    pod = model_of(source)
    assert {"name": "model", **volume} in pod["volumes"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "model"]
    assert ("/srv/roadstead/model", True, path) == (mount["mountPath"], mount["readOnly"], mount.get("subPath"))
    assert "initContainers" not in pod


@pytest.mark.parametrize("source", ["s3://bucket/minilm", "gs://bucket/minilm"])
def test_what_a_server_reads_by_itself_is_handed_to_it_as_it_is(source: str) -> None:
    """Its configuration has the bucket in it, and the pod has no volume for it."""
    model = ModelSpec(name="minilm", source=source)
    template = pod_template(order_of(template_with(model=model)), directed=False)
    assert f'base_path: "{source}"\n' == template["metadata"]["annotations"][f"{names.CONFIG_PREFIX}models.config"]
    assert "model" not in [one["name"] for one in template["spec"]["volumes"]]


def test_what_is_fetched_is_fetched_and_checked_before_the_server_starts() -> None:
    """By an init container that alone may write the folder."""
    digest = "ab" * 32
    pod = model_of("https://host/m.tar", digest=digest, options=PodOptions(fetch_image="python:3.11"))
    (fetcher,) = pod["initContainers"]
    assert ("python:3.11", ["python3", "-c"]) == (fetcher["image"], fetcher["command"])
    assert ["https://host/m.tar", "/srv/roadstead/model", "3", digest] == fetcher["args"][1:]
    written = {one["name"]: one.get("readOnly", False) for one in fetcher["volumeMounts"]}
    assert not written["model"]
    assert [True] == [one["readOnly"] for one in pod["containers"][0]["volumeMounts"] if one["name"] == "model"]


def test_a_digest_is_checked_wherever_the_model_comes_from() -> None:
    """A volume is looked at before the server starts, too, and is not written."""
    (checker,) = model_of("pvc://models/minilm", digest="ab" * 32)["initContainers"]
    assert "" == checker["args"][1]
    assert [True] == [one["readOnly"] for one in checker["volumeMounts"] if one["name"] == "model"]


@pytest.mark.parametrize("source", ["pvc:///folder", "pvc://claim/../other", "ftp://host/m"])
def test_a_source_that_says_nothing_is_refused(source: str) -> None:
    """A claim without a name, a folder outside of it, a scheme that nobody reads."""
    with pytest.raises(ValueError, match=r"claim|read from"):
        model_of(source)


def test_a_digest_that_nobody_can_check_is_refused() -> None:
    """A bucket is read by the server alone."""
    with pytest.raises(ValueError, match="digest"):
        model_of("s3://bucket/minilm", digest="ab" * 32)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (template_with(resources=Resources(gpu=GpuPart(share=GpuShare(500)))), "it gives no GPU as share"),
        (template_with(placement=PlacementSpec(spread=Spread(by="zone", max_per=2))), "at most 1 replica to one zone"),
        (template_with(model=ModelSpec(name="m", source="gs://b/m", digest="ab" * 32)), "cannot check the digest"),
        (template_with(model=ModelSpec(name="m", source="oci://r/m")), "cannot read models from oci"),
        (template_with(secrets=(Secret(name="T", ref="env:T"),)), "cannot resolve the secret T from env:"),
        (template_with(), "runtime.image is not set"),
    ],
)
def test_the_planner_knows_beforehand_what_would_be_refused(template: Template, said: str) -> None:
    """By what the cluster says that it can do: such a cluster is not used, and the plan says why."""
    place = Place(namespace="models", fleet="shop", owner_id="0f1e2d", directed=False)
    found = shortfalls(template, capabilities(place, minor=34, notes=()))
    assert said in "; ".join(found)


# ---- what only Kubernetes has ----


def test_options_of_a_deployment_are_in_its_pods() -> None:
    """By reference where something must exist: nothing of the cluster is made for them."""
    options = PodOptions(
        priority_class="high",
        service_account="models",
        image_pull_policy=PullPolicy.ALWAYS,
        image_pull_secrets=("registry",),
        tolerations=(Toleration(key="models", value="only"),),
        runtime_class="nvidia",
        run_as_user=0,
        host_mounts=(HostMount(host_path="/opt/lib", path="/lib/extra"),),
        labels={"team": "search", names.DEPLOYMENT: "forged"},
        annotations={"sidecar.istio.io/inject": "false"},
    )
    template = pod_template(order_of(template_with(options)), directed=False)
    pod, metadata = template["spec"], template["metadata"]
    assert ("high", "models", "nvidia") == (
        pod["priorityClassName"],
        pod["serviceAccountName"],
        pod["runtimeClassName"],
    )
    assert ([{"name": "registry"}], "Always") == (pod["imagePullSecrets"], pod["containers"][0]["imagePullPolicy"])
    assert {"key": "models", "operator": "Equal", "value": "only"} in pod["tolerations"]
    assert (False, 0) == (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"])
    assert {"name": "host-0", "mountPath": "/lib/extra", "readOnly": True} in pod["containers"][0]["volumeMounts"]
    assert ("search", "minilm") == (metadata["labels"]["team"], metadata["labels"][names.DEPLOYMENT])
    assert "false" == metadata["annotations"]["sidecar.istio.io/inject"]


# ---- what stands beside ----


def test_a_budget_keeps_its_floor_and_no_unready_pod() -> None:
    """An integer, over all revisions; what is not ready never keeps a node from being emptied."""
    spec = budget("shop", "0f1e2d", "minilm", 3)["spec"]
    assert (3, "AlwaysAllow") == (spec["minAvailable"], spec["unhealthyPodEvictionPolicy"])
    assert names.REVISION not in spec["selector"]["matchLabels"]


def test_services_find_ports_by_name() -> None:
    """Each pod says itself where its server listens; the headless one is of one group."""
    over_all, of_group = service("shop", "0f1e2d", "minilm")["spec"], group_service(order_of(template_with()))["spec"]
    assert ["grpc", "rest"] == [one["targetPort"] for one in over_all["ports"]]
    assert ("None", None) == (of_group["clusterIP"], over_all.get("clusterIP"))
    assert names.REVISION in of_group["selector"]
    assert names.REVISION not in over_all["selector"]
