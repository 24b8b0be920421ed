"""Makes the fleet's values of what was written: names looked up, paths absolute, one template for each cluster.

Nothing is refused here: what could go wrong was told before.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from roadstead.autoscaling import AutoscalingSpec
from roadstead.config.checks import DEFAULT_OWNER
from roadstead.config.entries import AutoscalingEntry, ClusterEntry, DeploymentEntry, FleetEntry, GatewayEntry
from roadstead.config.options import anchored
from roadstead.model import (
    ClusterSpec,
    Constraint,
    DaemonSpec,
    Deployment,
    GatewaySpec,
    ModelSpec,
    Reach,
    RuntimeSpec,
    Secret,
    Strategy,
    Target,
    Template,
    Tls,
    Variable,
)
from roadstead.spi.records import RuntimePlugin
from roadstead.template import target
from roadstead.wire import to_wire

__all__ = ["cluster_spec", "daemon_spec", "deployment_of", "gateway_spec"]

_URL = re.compile("[a-z0-9]+://")


def cluster_spec(name: str, entry: ClusterEntry, base: Path) -> ClusterSpec:
    """Return the cluster; paths in its options are relative to ``base``."""
    return ClusterSpec(
        name=name,
        backend=entry.backend,
        options=anchored(entry.options, base),
        scheduling=entry.scheduling,
        state=entry.state,
        reach=entry.reach,
    )


def gateway_spec(name: str, entry: GatewayEntry, base: Path) -> GatewaySpec:
    """Return the gateway; its TLS files, and paths in its options, are relative to ``base``."""
    files = entry.tls
    tls = Tls(certificate=_absolute(files.certificate, base), key=_absolute(files.key, base)) if files else None
    return GatewaySpec(
        name=name,
        kind=entry.kind,
        address=entry.address,
        first_port=entry.ports.first,
        last_port=entry.ports.last,
        tls=tls,
        options=anchored(entry.options, base),
    )


def daemon_spec(daemon: DaemonSpec, base: Path) -> DaemonSpec:
    """Return how the daemon runs; its state directory is relative to ``base``."""
    return daemon if daemon.state is None else attrs.evolve(daemon, state=_absolute(daemon.state, base))


def deployment_of(name: str, written: FleetEntry, runtimes: Mapping[str, RuntimePlugin], base: Path) -> Deployment:
    """Return the deployment ``name``, with a target on each cluster that it may run on."""
    entry = written.deployments[name]
    chosen = entry.chosen_of(written.clusters)
    reloads = entry.rollout.strategy is Strategy.RELOAD
    via = entry.via_of(written.gateways)
    connects = via is not None or reloads
    made: dict[Template, Target] = {}

    def target_on(cluster: str) -> Target:
        template = _template(name, entry, cluster, written.clusters[cluster].backend, runtimes, base)
        if template not in made:
            made[template] = target(cluster, template, reloads=reloads)
        return attrs.evolve(made[template], cluster=cluster, weight=entry.weight_of(cluster))

    return Deployment(
        name=name,
        owner=entry.owner or DEFAULT_OWNER,
        targets=tuple(map(target_on, chosen)),
        elsewhere=tuple(
            target_on(cluster)
            for cluster, spec in written.clusters.items()
            if cluster not in chosen and _is_said_for(entry, cluster) and (spec.reach is Reach.DIRECT or not connects)
        ),
        fail_over_after=entry.unreachable.fail_over_after,
        replicas=entry.autoscaling.min if entry.autoscaling is not None else entry.replicas,
        autoscaling=_autoscaling(entry.autoscaling) if entry.autoscaling is not None else None,
        priority=entry.priority,
        place=entry.place,
        rollout=entry.rollout,
        via=via,
        on_excess=entry.on_excess,
        on_drift=entry.on_drift,
        adopt=entry.adopt,
    )


def _autoscaling(entry: AutoscalingEntry) -> AutoscalingSpec:
    return AutoscalingSpec(
        min=entry.min,
        max=entry.max,
        policy=entry.policy,
        metrics=tuple(metric for metric in entry.metrics if metric is not None),
        windows=entry.window,
    )


def _is_said_for(entry: DeploymentEntry, cluster: str) -> bool:
    """Return whether the template can be resolved for a cluster, whether the deployment names that or not."""
    return isinstance(entry.model.source, str) or cluster in entry.model.source


def _template(
    name: str,
    entry: DeploymentEntry,
    cluster: str,
    backend: str,
    runtimes: Mapping[str, RuntimePlugin],
    base: Path,
) -> Template:
    model, runtime = entry.model, entry.runtime
    source = model.source if isinstance(model.source, str) else model.source[cluster]
    return Template(
        model=ModelSpec(
            name=model.name or name,
            source=source if _URL.match(source) else _absolute(source, base),
            format=model.format,
            version=model.version,
            digest=model.digest,
        ),
        runtime=RuntimeSpec(
            name=runtime.name,
            engine=runtime.engine or runtimes[runtime.name].engines[0],
            image=runtime.image,
            batching=runtime.batching,
            args=runtime.args,
        ),
        resources=entry.resources,
        env=tuple(Variable(variable, value) for variable, value in sorted(entry.env.items())),
        secrets=tuple(
            Secret(name=variable, ref=secret.ref, version=secret.version)
            for variable, secret in sorted(entry.secrets.items())
        ),
        health=entry.health,
        stop=entry.stop,
        placement=attrs.evolve(entry.placement, constraints=_ordered(entry.placement.constraints)),
        backend_options=_canonical_options(entry.backend_options.get(backend), base),
    )


def _ordered(constraints: tuple[Constraint, ...]) -> tuple[Constraint, ...]:
    """Return constraints in an order of ours: all of them hold, so theirs says nothing and makes no new revision."""
    return tuple(sorted(set(constraints), key=lambda one: (one.attribute, one.operator.value, one.values)))


def _absolute(path: str, base: Path) -> str:
    return os.path.normpath(base / path)


def _canonical_options(options: object, base: Path) -> str:
    """Return options as canonical JSON without what equals its default; empty where nothing is left."""
    wire = to_wire(anchored(options, base)) if options is not None else {}
    return json.dumps(wire, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str) if wire else ""
