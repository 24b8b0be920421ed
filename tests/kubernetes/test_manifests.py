"""What is shipped for running in a cluster: valid for the API server, no more than restricted, and of one piece."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadstead.config import read_fleet
from roadstead_backends.kubernetes.leases import lease_name
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.cluster import Cluster
from tests.config.corpus import built_in

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs" / "kubernetes"
CONTAINERFILE = SHIPPED / "Containerfile"
INSTRUCTIONS = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"}


def objects(*patterns: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of the shipped files."""
    for pattern in patterns:
        for path in sorted(SHIPPED.glob(pattern)):
            yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def the(kind: str) -> dict[str, Any]:
    """Return the one object of a kind in the base."""
    (found,) = (one for one in objects("base/*.yaml") if one["kind"] == kind)
    return found


def test_the_shipped_fleet_file_is_valid_and_fits_what_is_beside_it(tmp_path: Path) -> None:
    """Its namespace is the one that roles are for, its lease the one they name, its state where the volume is."""
    path = tmp_path / "fleet.yaml"
    path.write_text(the("ConfigMap")["data"]["fleet.yaml"])
    fleet = read_fleet(path, built_in())
    (cluster,) = fleet.clusters.values()
    assert isinstance(cluster.options, KubernetesOptions)
    roles = [one for one in objects("rbac/*.yaml") if one["kind"] == "Role"]
    assert {cluster.options.namespace} == {one["metadata"]["namespace"] for one in roles}
    named = [rule["resourceNames"] for role in roles for rule in role["rules"] if "resourceNames" in rule]
    assert [[lease_name(fleet.name)]] == named
    pod = the("Deployment")["spec"]["template"]["spec"]
    assert fleet.daemon.state in {one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}


def test_every_role_is_bound_to_the_daemons_account() -> None:
    """A role that nobody has would only look like a right."""
    account = the("ServiceAccount")["metadata"]
    for one in objects("rbac/*.yaml"):
        if one["kind"].endswith("Binding"):
            (subject,) = one["subjects"]
            assert (account["name"], account["namespace"]) == (subject["name"], subject["namespace"])
            assert one["kind"] == f"{one['roleRef']['kind']}Binding"
            assert one["metadata"]["name"] == one["roleRef"]["name"]


def test_everything_that_is_shipped_is_in_the_kustomization_or_named_there() -> None:
    """A manifest that nobody applies is found by nobody."""
    text = (SHIPPED / "kustomization.yaml").read_text()
    named = set(re.findall(r"(?:base|rbac)/\w+\.yaml", text))
    assert {f"{path.parent.name}/{path.name}" for path in SHIPPED.glob("*/*.yaml")} == named


# ---- the image: there is no engine here to build it, so its file is read ----


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile, in order."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in CONTAINERFILE.read_text().splitlines() if line[:1] != "#"))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_the_containerfile_has_only_known_instructions_and_ends_as_nobody() -> None:
    """Two stages, the last of which runs as a user that is not root, by its number, so that a cluster can tell."""
    told = instructions()
    assert INSTRUCTIONS >= {name for name, _ in told}
    assert 2 == [name for name, _ in told].count("FROM")
    last = told[max(index for index, (name, _) in enumerate(told) if name == "FROM") :]
    said = dict(last)
    assert "65532:65532" == said["USER"]
    assert ["roadstead"] == json.loads(said["ENTRYPOINT"])


def test_what_the_containerfile_copies_is_there() -> None:
    """Sources are of this repository, or of a stage before."""
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, _ = shlex.split(rest)
            assert all((ROOT / source).exists() for source in sources)


def test_the_containerfile_takes_no_image_without_a_tag_and_uses_what_it_declares() -> None:
    """An image by the name alone is another one every day."""
    told = instructions()
    declared = dict(rest.partition("=")[::2] for name, rest in told if name == "ARG")
    used = set(re.findall(r"\$\{(\w+)\}", CONTAINERFILE.read_text()))
    assert used == set(declared)
    for name, rest in told:
        if name == "FROM":
            image = re.sub(r"\$\{(\w+)\}", lambda found: declared[found[1]], rest.split()[0])
            assert re.fullmatch(r"[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?", image)
            assert not image.endswith(":latest")


# ---- by a real API server ----


@pytest.fixture(scope="module")
def namespaces(control_plane: Cluster) -> Iterator[None]:
    """The namespaces that everything else is in, with what they enforce."""
    control_plane.kubectl("apply", "-f", str(SHIPPED / "base" / "namespaces.yaml"))
    yield
    control_plane.kubectl("delete", "--wait=false", "-f", str(SHIPPED / "base" / "namespaces.yaml"))


@pytest.mark.kubernetes
def test_the_api_server_takes_every_manifest_field_for_field(control_plane: Cluster, namespaces: None) -> None:
    """Strictly: an unknown or doubled field is refused, and so is what a restricted namespace does not admit."""
    built = control_plane.kubectl("kustomize", str(SHIPPED))
    assert {one["kind"] for one in yaml.safe_load_all(built)} >= {"Namespace", "Deployment", "Role", "ConfigMap"}
    rest = "---\n".join(path.read_text() for path in sorted((SHIPPED / "rbac").glob("*.yaml")))
    for text in (built, rest):
        said = control_plane.kubectl(
            *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"), stdin=text
        )
        assert len(list(yaml.safe_load_all(text))) == len(said.splitlines())


@pytest.mark.kubernetes
def test_a_field_that_is_none_is_refused(control_plane: Cluster, namespaces: None) -> None:
    """The test above can fail: the same way, with a typing error."""
    wrong = (SHIPPED / "base" / "daemon.yaml").read_text().replace("serviceAccountName", "serviceAcountName")
    with pytest.raises(RuntimeError, match="serviceAcountName"):
        control_plane.kubectl(
            *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"), stdin=wrong
        )


@pytest.mark.kubernetes
def test_the_daemons_pod_is_admitted_where_only_restricted_ones_are(control_plane: Cluster, namespaces: None) -> None:
    """A Deployment is admitted whatever its pods are; so its pod itself is asked for."""
    control_plane.kubectl("apply", "-f", str(SHIPPED / "base" / "serviceaccount.yaml"))
    template = the("Deployment")["spec"]["template"]
    pod = {**template, "metadata": {**template["metadata"], "name": "daemon"}}
    path = "/api/v1/namespaces/roadstead-system/pods"
    made = control_plane.api.create(path, pod, dryRun="All", fieldValidation="Strict")
    assert "roadstead" == made["spec"]["serviceAccountName"]
    pod["spec"] = {**pod["spec"], "hostNetwork": True}
    with pytest.raises(Exception, match="violates PodSecurity"):
        control_plane.api.create(path, pod, dryRun="All")
