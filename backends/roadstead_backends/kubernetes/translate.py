"""From a group's order to its ReplicaSet, and from what is stored there back to what was ordered. Pure.

What Kubernetes cannot express raises :class:`ValueError` with the reason; nothing is left out in silence. The
ReplicaSet carries the template and the rendering that it was made with, so that neither a later translator nor a lost
memory changes what a group is.

Configuration files travel as annotations of the pods, which the kubelet writes into a volume (downward API). A
ConfigMap beside each group would be a second object that can be missing or left over, and would need the right to read
everybody's ConfigMaps; so, a group is one object that is made by one call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from roadstead.model import Template
from roadstead.spi.backend import GroupOrder
from roadstead.spi.expansion import expand, own_ports
from roadstead.spi.runtime import Launch
from roadstead.template import canonical
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.placing import affinity, limits, spread_constraints, tolerations
from roadstead_backends.kubernetes.pod_options import PodOptions, pod_options
from roadstead_backends.kubernetes.probes import grace_s, probes, sleep_s
from roadstead_backends.kubernetes.sources import CONFIG_DIR, Source, model_dir, model_source

__all__ = ["canonical_json", "counts", "pod_template", "replica_set"]

Json = dict[str, Any]

_FILES: Final = "config"
_SCRATCH: Final = "scratch"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LISTEN_ON: Final = "0.0.0.0"  # noqa: S104  # a pod has an address of its own


def replica_set(order: GroupOrder, target: int, *, directed: bool) -> Json:
    """Return the ReplicaSet of a new group; raises :class:`ValueError` for what Kubernetes cannot express."""
    template = pod_template(order, directed=directed)
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": names.group_name(order.fleet, order.key),
            "labels": names.group_labels(order),
            "annotations": {
                **_around(order),
                names.TEMPLATE: canonical(order.template),
                names.RENDERING: canonical_json(template),
                names.SERVES_ON: "true",
                names.WRITTEN: "1",
            },
        },
        "spec": {
            "replicas": target,
            "selector": {"matchLabels": names.group_labels(order)},
            "template": template,
        },
    }


def counts(order: GroupOrder, target: int | None, *, written: str) -> Json:
    """Return what an existing group is told: its count and what is around its template, and never the template.

    ``target`` is ``None`` where the count is somebody else's affair. ``written`` is the generation that the object has
    once this is done; what it said before, where somebody else changed the object, which must go on showing.
    """
    around = {**_around(order), names.WRITTEN: written}
    spec = {} if target is None else {"spec": {"replicas": target}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": names.group_name(order.fleet, order.key), "annotations": around},
        **spec,
    }


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def pod_template(order: GroupOrder, *, directed: bool) -> Json:
    """Return what every pod of a group is made from."""
    template, launch = order.template, order.launch
    options = pod_options(template)
    source = model_source(template, options)
    if launch.image is None:
        raise ValueError("it runs containers, and runtime.image is not set")
    meanings = {
        **own_ports(launch),
        "HOST": _LISTEN_ON,
        "MODEL_DIR": model_dir(template),
        "CONFIG_DIR": CONFIG_DIR,
    }
    files = _config_annotations(launch, meanings)
    siblings = names.deployment_labels(order.fleet, order.owner_id, order.key.deployment)
    spec: Json = {
        **_pod_settings(options),
        "terminationGracePeriodSeconds": grace_s(template.stop),
        "tolerations": tolerations(template, options),
        "containers": [_server(template, launch, options, source, meanings)],
        "volumes": _volumes(source, files, options),
    }
    if source.preparation is not None:
        spec["initContainers"] = [_preparation(template, launch.image, options, source)]
    if directed:
        spec["schedulerName"] = names.SCHEDULER
    else:
        nodes = affinity(template, siblings)
        spec |= {"affinity": nodes} if nodes else {}
        spec["topologySpreadConstraints"] = spread_constraints(template.placement.spread, siblings)
    metadata = {
        "labels": {**options.labels, **names.group_labels(order)},
        "annotations": {**options.annotations, **files},
    }
    return {"metadata": {name: value for name, value in metadata.items() if value}, "spec": spec}


def _around(order: GroupOrder) -> dict[str, str]:
    return {names.OWNER: order.owner, names.GENERATION: str(order.generation)}


# ---- the pod ----


def _pod_settings(options: PodOptions) -> Json:
    found: Json = {
        "automountServiceAccountToken": options.mount_token,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": options.run_as_user != 0,
            "runAsUser": options.run_as_user,
            "runAsGroup": options.run_as_group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if options.share_processes:
        found["shareProcessNamespace"] = True
    for key, value in (
        ("priorityClassName", options.priority_class),
        ("serviceAccountName", options.service_account),
        ("runtimeClassName", options.runtime_class),
    ):
        if value is not None:
            found[key] = value
    if options.image_pull_secrets:
        found["imagePullSecrets"] = [{"name": name} for name in options.image_pull_secrets]
    if options.resource_claims:
        found["resourceClaims"] = [
            {"name": f"claim-{number}", "resourceClaimTemplateName": name}
            for number, name in enumerate(options.resource_claims)
        ]
    return found


def _volumes(source: Source, config: Mapping[str, str], options: PodOptions) -> list[Json]:
    found: list[Json] = [{"name": _SCRATCH, "emptyDir": {}}]
    if config:
        items = [
            {
                "path": key.removeprefix(names.CONFIG_PREFIX),
                "fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.annotations['{key}']"},
            }
            for key in sorted(config)
        ]
        found.append({"name": _FILES, "downwardAPI": {"items": items, "defaultMode": 0o444}})
    if source.volume is not None:
        found.append(source.volume)
    for number, mount in enumerate(options.host_mounts):
        found.append({"name": f"host-{number}", "hostPath": {"path": mount.host_path, "type": "Directory"}})
    return found


# ---- the containers ----


def _server(
    template: Template, launch: Launch, options: PodOptions, source: Source, meanings: Mapping[str, str]
) -> Json:
    amounts = limits(template.resources, options)
    resources: Json = {"limits": amounts, "requests": dict(amounts)}
    if options.resource_claims:
        resources["claims"] = [{"name": f"claim-{number}"} for number in range(len(options.resource_claims))]
    if options.command:  # only of the runtime's own program is known how it ends, and what it says of itself
        launch = attrs.evolve(launch, finishes=False, says_health=False)
    container: Json = {
        **_confined(launch.image or "", options),
        "name": names.SERVER,
        "command": [_literal(word) for word in options.command or _program(launch)],
        "args": [_literal(expand(word, meanings)) for word in launch.args],
        "resources": resources,
        "ports": _ports(launch),
        "volumeMounts": _mounts(source, options, config=bool(launch.files)),
        **probes(launch, template.health),
    }
    env = _environment(template, launch, meanings)
    if env:
        container["env"] = env
    sleep = sleep_s(template.stop, finishes=launch.finishes)
    if sleep:
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": sleep}}}
    return {key: value for key, value in container.items() if value != []}


def _preparation(template: Template, image: str, options: PodOptions, source: Source) -> Json:
    """Return the init container that fetches and checks; its limits are the server's, which cost the pod nothing."""
    amounts = {key: value for key, value in limits(template.resources, options).items() if "/" not in key}
    mounts = [mount for mount in _mounts(source, options, config=False) if mount["name"] != "model"]
    fetched = source.preparation is not None and source.preparation[1]
    model = [{**source.mount, "readOnly": not fetched}] if source.mount is not None else []
    program = options.command[:1] if options.fetch_image is None and options.command else ("python3",)
    return {
        **_confined(options.fetch_image or image, options),
        "name": "model",
        "command": [*map(_literal, program), "-c"],
        "args": [_literal(word) for word in source.preparation or ()],
        "resources": {"limits": amounts, "requests": dict(amounts)},
        "volumeMounts": [*mounts, *model],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _confined(image: str, options: PodOptions) -> Json:
    pulled = {"imagePullPolicy": options.image_pull_policy.value} if options.image_pull_policy is not None else {}
    return {
        "image": image,
        **pulled,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def _program(launch: Launch) -> tuple[str, ...]:
    if launch.program.module is not None:
        return ("python3", "-u", "-m", launch.program.module)
    return (launch.program.executable or "",)


def _ports(launch: Launch) -> list[Json]:
    ports = (("grpc", launch.grpc_port), ("rest", launch.rest_port))
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports if port is not None]


def _mounts(source: Source, options: PodOptions, *, config: bool) -> list[Json]:
    found: list[Json] = [{"name": _SCRATCH, "mountPath": "/tmp"}]  # noqa: S108  # a folder of the pod's own
    if config:
        found.append({"name": _FILES, "mountPath": CONFIG_DIR, "readOnly": True})
    if source.mount is not None:
        found.append(source.mount)
    for number, mount in enumerate(options.host_mounts):
        found.append({"name": f"host-{number}", "mountPath": mount.path, "readOnly": True})
    return found


def _environment(template: Template, launch: Launch, meanings: Mapping[str, str]) -> list[Json]:
    """Return the server's variables; the fleet file's words win over the runtime's."""
    plain = {name: expand(value, meanings) for name, value in launch.env}
    plain |= {variable.name: variable.value for variable in template.env}
    found: dict[str, Json] = {name: {"value": _literal(value)} for name, value in plain.items()}
    for secret in template.secrets:
        scheme, _, place = secret.ref.partition(":")
        name, _, key = place.partition("/")
        if scheme != "kubernetes" or not name or not key:
            raise ValueError(f"secret {secret.name} is to come from {secret.ref}; here it is kubernetes:secret/key")
        found[secret.name] = {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    return [{"name": name, **value} for name, value in sorted(found.items())]


def _config_annotations(launch: Launch, meanings: Mapping[str, str]) -> dict[str, str]:
    for file in launch.files:
        if not _FILE_NAME.fullmatch(file.name):
            raise ValueError(
                f"configuration file {file.name!r} cannot be the name of an annotation; use letters and .-_"
            )
    return {f"{names.CONFIG_PREFIX}{file.name}": expand(file.content, meanings) for file in launch.files}


def _literal(text: str) -> str:
    """Return a text that Kubernetes leaves as it is: it would fill in ``$(NAME)`` once more.

    >>> _literal("$(HOME) costs 5$")
    '$$(HOME) costs 5$$'
    """
    return text.replace("$", "$$")
