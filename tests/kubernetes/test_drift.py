"""What others changed of an object is found, and what the API server adds by itself is not taken for it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings

from roadstead.model import Resources, Template, Variable
from roadstead.units import Cpus, Memory
from roadstead_backends.kubernetes.drift import changed_by, differences, value_at
from roadstead_backends.kubernetes.judging import drift_of
from roadstead_backends.kubernetes.quantities import exact
from roadstead_backends.kubernetes.translate import pod_template, replica_set
from tests.kubernetes.orders import order_of, template_with, templates

Json = dict[str, Any]

OURS = frozenset({"roadstead", "roadstead-template"})
BASE = template_with(resources=Resources(cpu=Cpus(1000), memory=Memory(2**31)), env=(Variable("A", "1"),))


def stored(template: Template = BASE) -> Json:
    """Return a group's ReplicaSet as the API server has it: with defaults, and with who wrote what."""
    whole: Json = copy.deepcopy(replica_set(order_of(template), 2, directed=False))
    whole["metadata"] |= {"uid": "u", "resourceVersion": "1", "creationTimestamp": "2026-11-23T05:00:00Z"}
    whole["spec"]["minReadySeconds"] = 0
    pod = whole["spec"]["template"]["spec"]
    pod |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
    pod.setdefault("schedulerName", "default-scheduler")
    for container in pod["containers"]:
        container |= {"terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"}
        container["readinessProbe"]["successThreshold"] = 1
        container["env"] = [{key: one[key] for key in one if one[key] != ""} for one in container["env"]]
    whole["metadata"]["managedFields"] = [
        {"manager": "roadstead-template", "time": "2026-11-23T05:00:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "roadstead", "time": "2026-11-23T05:00:01Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {
            "manager": "kube-controller-manager",
            "subresource": "status",
            "time": "2026-11-23T05:09:00Z",
            "fieldsV1": {"f:status": {}},
        },
    ]
    return whole


def server(whole: Json) -> Json:
    """Return the container with the server."""
    (found,) = whole["spec"]["template"]["spec"]["containers"]
    container: Json = found
    return container


def test_what_the_api_server_adds_is_no_drift() -> None:
    """Defaults stand in fields that we left out."""
    assert () == drift_of(stored(), OURS)


def test_an_amount_that_is_written_otherwise_is_the_same_amount() -> None:
    """The API server has its own way of writing them."""
    whole = stored()
    server(whole)["resources"]["limits"] |= {"cpu": "1000m", "memory": "2147483648"}
    assert () == drift_of(whole, OURS)


def changed(what: str) -> Json:
    """Return the stored group after somebody changed one thing."""
    whole = stored()
    container, pod = server(whole), whole["spec"]["template"]["spec"]
    match what:
        case "limit":
            container["resources"]["limits"]["memory"] = "4Gi"
        case "added variable":
            container["env"].append({"name": "DEBUG", "value": "1"})
        case "removed variable":
            container["env"] = [one for one in container["env"] if one["name"] != "A"]
        case "sidecar":
            pod["containers"].append({"name": "sidecar", "image": "x"})
        case "image":
            container["image"] = "other:1"
        case "argument":
            container["args"] = [*container["args"], "--more"]
        case "grace":
            pod["terminationGracePeriodSeconds"] = 1
        case "annotation":
            whole["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = "now"
    entry = {"manager": "kubectl-edit", "time": "2026-11-23T05:05:00Z", "fieldsV1": {"f:spec": {"f:template": {}}}}
    whole["metadata"]["managedFields"].append(entry)
    return whole


_SERVER = "spec.template.spec.containers[server]"


@pytest.mark.parametrize(
    ("what", "field", "ours", "theirs"),
    [
        ("limit", f"{_SERVER}.resources.limits.memory", "2Gi", "4Gi"),
        ("added variable", f"{_SERVER}.env[DEBUG]", "nothing", '{"name": "DEBUG", "value": "1"}'),
        ("removed variable", f"{_SERVER}.env[A]", '{"name": "A", "value": "1"}', "nothing"),
        ("sidecar", "spec.template.spec.containers[sidecar]", "nothing", '{"image": "x", "name": "sidecar"}'),
        ("image", f"{_SERVER}.image", "tensorflow/serving:2.20.0", "other:1"),
        ("grace", "spec.template.spec.terminationGracePeriodSeconds", "42", "1"),
        (
            "annotation",
            "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]",
            "nothing",
            "now",
        ),
    ],
)
def test_what_somebody_changed_is_told_with_both_values_and_who_it_was(
    what: str, field: str, ours: str, theirs: str
) -> None:
    """One field, and no other."""
    (found,) = drift_of(changed(what), OURS)
    assert (field, ours, theirs, "kubectl-edit") == (found.field, found.ours, found.theirs, found.manager)


def test_a_list_without_names_is_one_value() -> None:
    """Arguments have an order and no keys."""
    (found,) = drift_of(changed("argument"), OURS)
    assert f"{_SERVER}.args" == found.field


@pytest.mark.parametrize("what", ["limit", "added variable", "sidecar", "image", "grace", "annotation"])
def test_a_pod_made_of_what_was_changed_can_be_told_by_the_same_path(what: str) -> None:
    """What stands at the path of a difference is what they wrote."""
    whole = changed(what)
    rendering = pod_template(order_of(BASE), directed=False)
    (found,) = differences(rendering, whole["spec"]["template"], "spec.template")
    inside = found.path.removeprefix("spec.template.")
    assert found.theirs == value_at(whole["spec"]["template"], inside)
    assert found.ours == value_at(rendering, inside)


@settings(max_examples=40)
@given(templates())
def test_no_rendering_differs_from_itself_however_it_was_sent(template: Template) -> None:
    """JSON and back changes nothing."""
    rendering = pod_template(order_of(template), directed=False)
    assert [] == list(differences(rendering, json.loads(json.dumps(rendering)), "spec.template"))


def test_the_cluster_s_own_reports_are_nobody_s_change() -> None:
    """Who wrote only to the status is not told as a manager."""
    assert "" == changed_by(stored()["metadata"]["managedFields"], OURS)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1500m", "1.5"), ("1Gi", "1073741824"), ("1e3", "1k"), ("1E2", "100"), ("0.5", "500m"), ("2.", "2")],
)
def test_quantities_are_exact_numbers(one: str, other: str) -> None:
    """Whatever suffix or exponent they have."""
    assert exact(one) == exact(other)


@pytest.mark.parametrize("text", ["", "one", "1 Gi", "1GiB", "--1", "1e", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """It is never taken for a number by half."""
    with pytest.raises(ValueError, match="not a quantity"):
        exact(text)
