"""Deployments of others as deployments of ours: what is kept, what is changed, and that nothing goes unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from roadstead.cli.group import cli
from roadstead.config import read_fleet
from roadstead.model import Adoption, Constraint, Operator, Secret, Spread, StopSpec, Variable, WholeGpus
from roadstead.spi.importing import Carried, Fate, Imported
from roadstead.units import Cpus, Duration, Memory
from roadstead_backends.kubernetes.importing import imported
from tests.cluster.cluster import Cluster
from tests.config.corpus import built_in

MINILM = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: minilm
  labels: {app: minilm}
  annotations: {deployment.kubernetes.io/revision: "4"}
spec:
  replicas: 3
  progressDeadlineSeconds: 300
  revisionHistoryLimit: 5
  selector: {matchLabels: {app: minilm}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: minilm}}
    spec:
      nodeSelector: {topology.kubernetes.io/zone: a}
      terminationGracePeriodSeconds: 40
      tolerations:
        - {key: nvidia.com/gpu, operator: Exists}
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 20}
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}
      containers:
        - name: tf
          image: tensorflow/serving:2.20.0
          args: [--model_name=minilm, --model_base_path=/models/minilm, --port=9000, --flush_filesystem_caches=false]
          env:
            - {name: TF_CPP_MIN_LOG_LEVEL, value: "1"}
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}
            - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
          resources:
            requests: {cpu: 500m, memory: 2Gi, nvidia.com/gpu: 1}
            limits: {cpu: "2", memory: 2Gi, nvidia.com/gpu: 1}
          readinessProbe: {httpGet: {path: /v1/models/minilm, port: 8501}, periodSeconds: 3, failureThreshold: 2}
          lifecycle: {preStop: {sleep: {seconds: 10}}}
          volumeMounts: [{name: models, mountPath: /models}]
        - {name: sidecar, image: "envoy:1"}
      volumes:
        - {name: models, persistentVolumeClaim: {claimName: models}}
"""


def minilm(**changes: Any) -> Imported:
    """Return the import of the manifest above."""
    return imported({**yaml.safe_load(MINILM), **changes})


def fate_of(one: Imported, field: str) -> Carried:
    """Return what became of a field."""
    (found,) = (carried for carried in one.fields if carried.field == field)
    return found


def test_flags_are_passed_on_wherever_they_stand() -> None:
    """Those of the command line, too; how a program is started there, and what the runtime sets itself, is none."""
    document = yaml.safe_load(MINILM)
    (server, _) = document["spec"]["template"]["spec"]["containers"]
    server["command"] = ["python", "-m", "tf_serving", "-enable_model_warmup=false", "--host=0.0.0.0"]
    one = imported(document)
    assert one.template is not None
    assert ("--enable_model_warmup=false", "--flush_filesystem_caches=false") == one.template.runtime.args
    at = "spec.template.spec.containers[0].command"
    fates = [fate_of(one, f"{at}[{index}]").fate for index in (1, 3, 4)]
    assert [Fate.CHANGED, Fate.KEPT, Fate.CHANGED] == fates


def test_what_a_fleet_file_can_say_is_carried_over() -> None:
    """Model, image, limits, environment, placement, stopping and counts."""
    one = minilm()
    template = one.template
    assert template is not None
    assert ("deployment/minilm", "minilm", 3) == (one.native, one.name, one.replicas)
    assert ("minilm", "pvc://models/minilm", 1) == (
        template.model.name,
        template.model.source,
        template.model.version,
    )
    assert ("tensorflow_model_server", "tensorflow/serving:2.20.0") == (template.runtime.engine, template.runtime.image)
    assert ("--flush_filesystem_caches=false",) == template.runtime.args
    assert template.runtime.batching is None
    assert (Cpus(2000), Memory(2 << 30), WholeGpus(count=1)) == (
        template.resources.cpu,
        template.resources.memory,
        template.resources.gpu,
    )
    assert (Variable("TF_CPP_MIN_LOG_LEVEL", "1"),) == template.env
    assert (Secret(name="TOKEN", ref="kubernetes:hub/token"),) == template.secrets
    assert StopSpec(drain_within=Duration(10_000), kill_after=Duration(30_000)) == template.stop
    assert (Duration(3_000), 2) == (template.health.every, template.health.failures)
    assert (Constraint(attribute="zone", operator=Operator.IN, values=("a",)),) == template.placement.constraints
    assert Spread(by="hostname") == template.placement.spread
    assert (1, 0, 5) == (one.rollout.max_surge, one.rollout.max_unavailable, one.rollout.history)


@pytest.mark.parametrize(
    ("field", "fate"),
    [
        ("spec.template.spec.containers[0].image", Fate.KEPT),
        ("spec.template.spec.containers[0].args[2]", Fate.CHANGED),
        ("spec.template.spec.containers[0].resources.requests.cpu", Fate.CHANGED),
        ("spec.template.spec.containers[0].resources.requests.memory", Fate.KEPT),
        ("spec.template.spec.containers[0].env[2]", Fate.LOST),
        ("spec.template.spec.containers[1].image", Fate.LOST),
        ("spec.strategy.rollingUpdate.maxSurge", Fate.CHANGED),
        ("spec.template.spec.tolerations[0]", Fate.KEPT),
        ("spec.template.spec.tolerations[1]", Fate.CHANGED),
        ("metadata.labels.app", Fate.LOST),
    ],
)
def test_the_report_says_what_became_of_a_field(field: str, fate: Fate) -> None:
    """And why, wherever it is not kept."""
    carried = fate_of(minilm(), field)
    assert fate is carried.fate
    assert bool(carried.detail) or fate is Fate.KEPT


def test_what_a_server_writes_is_not_in_the_report() -> None:
    """Nobody chose a resource version, a revision's number or a default."""
    document = yaml.safe_load(MINILM)
    document["metadata"] |= {"uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "kubectl"}]}
    document["spec"]["template"]["spec"] |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}
    document["status"] = {"replicas": 3}
    assert minilm().fields == imported(document).fields


_LEAVES = st.recursive(
    st.integers(0, 3) | st.text("ab", min_size=1, max_size=2),
    lambda inner: st.dictionaries(st.text("xyz", min_size=1, max_size=3), inner, min_size=1, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text("pqr", min_size=1, max_size=4), _LEAVES, max_size=4),
    st.sampled_from([(), ("template",), ("template", "spec"), ("template", "spec", "containers", 0)]),
)
def test_nothing_goes_unsaid(more: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """Whatever else stands anywhere in it is in the report, each field once, as lost."""
    document = yaml.safe_load(MINILM)
    before = {one.field for one in imported(document).fields}
    target: Any = document["spec"]
    for step in place:
        target = target[step]
    target |= more
    after = imported(document)
    told = [one.field for one in after.fields]
    assert len(set(told)) == len(told)
    new = [one for one in after.fields if one.field not in before]
    assert {Fate.LOST} >= {one.fate for one in new}
    prefix = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in ("spec", *place)).lstrip(".")
    for name in more:
        assert any(f"{one.field}.".startswith(f"{prefix}.{name}.") for one in new)


@pytest.mark.parametrize(
    ("source", "volume"),
    [
        ("/srv/models/minilm", {"hostPath": {"path": "/srv/models"}}),
        ("pvc://claim/minilm", {"persistentVolumeClaim": {"claimName": "claim"}}),
    ],
)
def test_the_model_is_found_behind_its_mount(source: str, volume: dict[str, Any]) -> None:
    """The folder that the server names is turned into the one that stands behind it."""
    document = yaml.safe_load(MINILM)
    document["spec"]["template"]["spec"]["volumes"] = [{"name": "models", **volume}]
    template = imported(document).template
    assert template is not None
    assert source == template.model.source


def test_the_stock_image_is_understood_by_its_variables() -> None:
    """``MODEL_NAME`` and ``MODEL_BASE_PATH`` say what flags would."""
    document = yaml.safe_load(MINILM)
    container = document["spec"]["template"]["spec"]["containers"][0]
    del container["args"]
    container["env"] = [{"name": "MODEL_NAME", "value": "bert"}, {"name": "MODEL_BASE_PATH", "value": "s3://bucket"}]
    template = imported(document).template
    assert template is not None
    assert ("bert", "s3://bucket/bert") == (template.model.name, template.model.source)
    assert () == template.env


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"image": "nginx:1", "args": []}, "none of its containers runs TensorFlow Serving"),
        ({"args": ["--model_config_file=/etc/models"]}, "it serves what a file says"),
        ({"volumeMounts": []}, "which is on no volume that a fleet file can name"),
    ],
)
def test_what_cannot_be_served_is_said(change: dict[str, Any], why: str) -> None:
    """One object that is nothing for us keeps none of the others from being imported."""
    document = yaml.safe_load(MINILM)
    document["spec"]["template"]["spec"]["containers"][0] |= change
    one = imported(document)
    assert one.template is None
    assert why in one.refused


def test_the_command_writes_a_file_that_is_valid(tmp_path: Path) -> None:
    """From a file of manifests to a fleet file, with the losses in the report and as comments."""
    manifests = tmp_path / "manifests.yaml"
    manifests.write_text(f"{MINILM}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\n")
    path = tmp_path / "fleet.yaml"
    done = CliRunner().invoke(
        cli, ["-f", str(path), "import", "--from", "kubernetes", str(manifests), "--set", "namespace=models"]
    )
    assert 0 == done.exit_code, done.output
    assert "deployment/minilm -> minilm" in done.output
    assert "  lost    spec.template.spec.containers[1].image: has no place in a fleet file\n" in done.output
    fleet = read_fleet(path, built_in())
    assert minilm().template == fleet.deployments["minilm"].targets[0].template
    assert "# lost: spec.template.spec.containers[1].image" in path.read_text()
    adopting = CliRunner().invoke(
        cli, ["-f", str(path), "import", "--from", "kubernetes", str(manifests), "--adopt", "--force"]
    )
    assert 0 == adopting.exit_code, adopting.output
    assert Adoption("prod", "deployment/minilm") == read_fleet(path, built_in()).deployments["minilm"].adopt
    again = CliRunner().invoke(cli, ["-f", str(path), "import", "--from", "kubernetes", str(manifests)])
    assert 0 != again.exit_code


@pytest.mark.kubernetes
def test_what_a_cluster_has_is_imported_as_its_manifest_would_be(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Read from the API server, with all that it fills in: the same template."""
    control_plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=MINILM)
    path = tmp_path / "fleet.yaml"
    options = ["--set", f"namespace={namespace}", "--set", f"kubeconfig={control_plane.kubeconfig}"]
    done = CliRunner().invoke(cli, ["-f", str(path), "import", "--from", "kubernetes", "live", *options])
    assert 0 == done.exit_code, done.output
    fleet = read_fleet(path, built_in())
    assert ["minilm"] == list(fleet.deployments)
    live, declared = fleet.deployments["minilm"].targets[0].template, minilm().template
    assert declared is not None
    assert (declared.model, declared.resources, declared.env) == (live.model, live.resources, live.env)
