"""What no single key can know: references between keys, and values that cannot stand together.

Pure: each check yields what it finds. The caller drops what was found about values that are wrong themselves, because
that would only repeat their problem in other words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import attrs

from roadstead.config.autoscaling_checks import autoscaling_findings
from roadstead.config.entries import DeploymentEntry, FleetEntry
from roadstead.config.finding import Finding
from roadstead.config.gateway_checks import gateway_findings
from roadstead.config.places import Places
from roadstead.config.problems import Path, ProblemCode
from roadstead.config.source import shown
from roadstead.config.texts import alternatives, nearest
from roadstead.model import Reach, Strategy
from roadstead.spi.host import PluginError, PluginHost, resolve
from roadstead.spi.records import BackendPlugin, PluginRecord, PolicyPlugin, RuntimePlugin
from roadstead.spi.runtime import MeasuresLoad

__all__ = ["DEFAULT_OWNER", "findings"]

DEFAULT_OWNER = "default"


def findings(fleet: FleetEntry, places: Places, host: PluginHost) -> Iterator[Finding]:
    """Yield everything that is wrong between the keys of ``fleet``."""
    runtimes = {one.record.name: one.record for one in host.all(RuntimePlugin)}
    yield from gateway_findings(fleet)
    yield from _lease(fleet, host)
    for name, deployment in fleet.deployments.items():
        here: Path = ("deployments", name)
        yield from chain(
            _owner(fleet, deployment, here),
            _clusters(fleet, deployment, here),
            _sources(fleet, deployment, here),
            _adopted(fleet, deployment, here, host),
            _plugins(deployment, here, host),
            _runtime(deployment, here, runtimes),
            _rollout(deployment, here, places),
            _reload(fleet, deployment, here, runtimes),
            _environment(deployment, here),
            _health(deployment, here),
            autoscaling_findings(fleet, name, places, lambda one: _counts_requests(one, runtimes)),
        )


def _owner(fleet: FleetEntry, deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    if not fleet.quotas or (deployment.owner or DEFAULT_OWNER) in fleet.quotas:
        return
    if deployment.owner is None:
        what = "a deployment needs an owner where there are quotas"
        hint = f"add `owner:`: {alternatives(sorted(fleet.quotas)[:10])}"
        yield Finding(
            code=ProblemCode.MISSING_KEY, path=(*here, "owner"), what=what, hint=hint, involving=(("quotas",),)
        )
        return
    near = nearest(deployment.owner, fleet.quotas)
    hint = (
        f"did you mean {near}?" if near else f"add it under `quotas`; {{}} is without limit: {deployment.owner}: {{}}"
    )
    what = f"owner {shown(deployment.owner)} does not stand in quotas"
    yield Finding(
        code=ProblemCode.REFERENCE,
        path=(*here, "owner"),
        what=what,
        hint=hint,
        involving=(("quotas", deployment.owner),),
    )


def _declared(fleet: FleetEntry, cluster: str, path: Path) -> Iterator[Finding]:
    if cluster in fleet.clusters:
        return
    near = nearest(cluster, fleet.clusters)
    hint = f"did you mean {near}?" if near else f"declared: {', '.join(list(fleet.clusters)[:10])}"
    what = f"there is no cluster {shown(cluster)}"
    yield Finding(code=ProblemCode.REFERENCE, path=path, what=what, hint=hint, involving=(("clusters", cluster),))


def _lease(fleet: FleetEntry, host: PluginHost) -> Iterator[Finding]:
    """Yield what is wrong with the cluster that is to keep the lease."""
    lease = fleet.daemon.lease
    if lease is None:
        return
    path: Path = ("daemon", "lease", "kubernetes")
    yield from _declared(fleet, lease.cluster, path)
    keepers = sorted(one.record.name for one in host.all(BackendPlugin) if one.record.leases is not None)
    cluster = fleet.clusters.get(lease.cluster)
    if cluster is not None and cluster.backend not in keepers:
        what = f"cluster {shown(lease.cluster)} is {cluster.backend}, which keeps no leases"
        hint = f"name a cluster of {alternatives(keepers)}" if keepers else "write file, a lock in the state directory"
        involving = (("clusters", lease.cluster),)
        yield Finding(code=ProblemCode.REFERENCE, path=path, what=what, hint=hint, involving=involving)


def _adopted(fleet: FleetEntry, deployment: DeploymentEntry, here: Path, host: PluginHost) -> Iterator[Finding]:
    """Yield what is wrong with where something is to be taken over."""
    adopt = deployment.adopt
    if adopt is None:
        return
    path = (*here, "adopt", "cluster")
    yield from _declared(fleet, adopt.cluster, path)
    cluster = fleet.clusters.get(adopt.cluster)
    if cluster is None:
        return
    if adopt.cluster not in deployment.chosen_of(fleet.clusters):
        what, hint = f"it may not run on cluster {shown(adopt.cluster)}", "name that cluster under `clusters`, too"
        chosen: Path = (*here, "clusters")
        yield Finding(code=ProblemCode.COMBINATION, path=path, what=what, hint=hint, involving=(chosen,))
    able = sorted(one.record.name for one in host.all(BackendPlugin) if one.record.adopts)
    if cluster.backend not in able:
        what = f"cluster {shown(adopt.cluster)} is {cluster.backend}, where nothing can be taken over"
        hint = f"that can be done on {alternatives(able)}" if able else "take it out"
        involving = (("clusters", adopt.cluster),)
        yield Finding(code=ProblemCode.COMBINATION, path=path, what=what, hint=hint, involving=involving)


def _clusters(fleet: FleetEntry, deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    path = (*here, "clusters")
    chosen = deployment.chosen
    if deployment.clusters is None and len(fleet.clusters) > 1:
        what = "several clusters are declared, and this does not say where it may run"
        hint = f"add `clusters:`: {alternatives(list(fleet.clusters)[:10])}, or a list of them in order of preference"
        yield Finding(code=ProblemCode.MISSING_KEY, path=path, what=what, hint=hint, involving=(("clusters",),))
    for index, cluster in enumerate(chosen):
        if isinstance(deployment.clusters, Mapping):
            for finding in _declared(fleet, cluster, (*path, cluster)):
                yield attrs.evolve(finding, about_key=True)
            continue
        at = path if isinstance(deployment.clusters, str) else (*path, index)
        yield from _declared(fleet, cluster, at)
        if cluster in chosen[:index]:
            what, hint = f"cluster {shown(cluster)} stands here twice", "keep one of them"
            yield Finding(code=ProblemCode.COMBINATION, path=at, what=what, hint=hint)


def _sources(fleet: FleetEntry, deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    source = deployment.model.source
    if isinstance(source, str):
        return
    path = (*here, "model", "source")
    for cluster in source:
        for finding in _declared(fleet, cluster, (*path, cluster)):
            yield attrs.evolve(finding, about_key=True)
    for cluster in deployment.chosen_of(fleet.clusters):
        if cluster not in source:
            what = f"there is no source for cluster {shown(cluster)}, where it may run"
            involving = (("clusters",), (*here, "clusters"))
            hint = f"add `{cluster}:` with a path or URL"
            yield Finding(code=ProblemCode.MISSING_KEY, path=path, what=what, hint=hint, involving=involving)


def _plugins(deployment: DeploymentEntry, here: Path, host: PluginHost) -> Iterator[Finding]:
    """Look for the plugins that defaults of ours name: reading has looked for those in the file."""
    named: tuple[tuple[type[PluginRecord], str, Path], ...] = (
        (RuntimePlugin, deployment.runtime.name, (*here, "runtime", "name")),
        (PolicyPlugin, deployment.place, (*here, "place")),
        *((PolicyPlugin, one.policy, (*here, "autoscaling", "policy")) for one in (deployment.autoscaling,) if one),
    )
    for kind, name, path in named:
        try:
            host.get(kind, name)
        except PluginError as error:
            hint = error.hint or "see `roadstead backend list`"
            yield Finding(code=ProblemCode.PLUGIN, path=path, what=str(error), hint=hint)


def _runtime(deployment: DeploymentEntry, here: Path, runtimes: Mapping[str, RuntimePlugin]) -> Iterator[Finding]:
    runtime = runtimes.get(deployment.runtime.name)
    if runtime is None:
        return
    name = (*here, "runtime", "name")
    for kind, word, known, path in (
        ("engine", deployment.runtime.engine, runtime.engines, (*here, "runtime", "engine")),
        ("model format", deployment.model.format, runtime.formats, (*here, "model", "format")),
    ):
        if word is not None and word not in known:
            near = nearest(word, known)
            hint = f"did you mean {near}?" if near else f"it has {alternatives(known)}"
            what = f"runtime {runtime.name!r} has no {kind} {shown(word)}"
            yield Finding(code=ProblemCode.CHOICE, path=path, what=what, hint=hint, involving=(name,))


def _rollout(deployment: DeploymentEntry, here: Path, places: Places) -> Iterator[Finding]:
    rollout = deployment.rollout
    path = (*here, "rollout")
    strategy, surge, unavailable = ((*path, key) for key in ("strategy", "max_surge", "max_unavailable"))
    if rollout.strategy is not Strategy.RECREATE:
        if rollout.max_surge == rollout.max_unavailable == 0:
            what = "max_surge and max_unavailable are both 0, so that no replica could ever be replaced"
            hint = "raise one of them to 1, or use strategy recreate"
            involving = (strategy, unavailable)
            yield Finding(code=ProblemCode.COMBINATION, path=surge, what=what, hint=hint, involving=involving)
        return
    if places.written(strategy):
        for key in (surge, unavailable):
            if places.written(key):
                what = f"{key[-1]} means nothing with strategy recreate, which takes all replicas down first"
                yield Finding(
                    code=ProblemCode.COMBINATION, path=key, what=what, hint="take it out, or use strategy rolling"
                )


def _reload(
    fleet: FleetEntry, deployment: DeploymentEntry, here: Path, runtimes: Mapping[str, RuntimePlugin]
) -> Iterator[Finding]:
    if deployment.rollout.strategy is not Strategy.RELOAD:
        return
    path = (*here, "rollout", "strategy")
    runtime = runtimes.get(deployment.runtime.name)
    engine = deployment.runtime.engine or (runtime.engines[0] if runtime is not None else None)
    if runtime is not None and engine in runtime.engines and engine not in runtime.reloads:
        what = f"engine {engine!r} of runtime {runtime.name!r} cannot load another version in place"
        hint = f"use strategy auto{f', or engine {alternatives(runtime.reloads)}' if runtime.reloads else ''}"
        involving = ((*here, "runtime", "name"), (*here, "runtime", "engine"))
        yield Finding(code=ProblemCode.COMBINATION, path=path, what=what, hint=hint, involving=involving)
    for cluster in deployment.chosen_of(fleet.clusters):
        if cluster in fleet.clusters and fleet.clusters[cluster].reach is Reach.NONE:
            what = f"replicas on cluster {cluster!r} cannot be connected to, and so not be told to load another version"
            hint = f"use strategy auto, or a cluster that has not `reach: {Reach.NONE.value}`"
            involving = (("clusters", cluster, "reach"), (*here, "clusters"))
            yield Finding(code=ProblemCode.COMBINATION, path=path, what=what, hint=hint, involving=involving)


def _counts_requests(name: str, runtimes: Mapping[str, RuntimePlugin]) -> bool:
    """Return whether servers of a runtime count their own requests; of one that is not there, nobody can say no."""
    if name not in runtimes:
        return True
    try:
        return isinstance(resolve(runtimes[name].factory, f"runtime {name!r}")(), MeasuresLoad)
    except PluginError:
        return True  # what is wrong with it is told where it is asked about templates


def _environment(deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    for name in deployment.secrets:
        if name in deployment.env:
            what = f"{name} stands under `env` and under `secrets`"
            involving = ((*here, "env", name),)
            yield Finding(
                code=ProblemCode.COMBINATION,
                path=(*here, "secrets", name),
                what=what,
                hint="keep one of them",
                involving=involving,
            )


def _health(deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    health = deployment.health
    if health.start_within < health.every:
        every, within = (*here, "health", "every"), (*here, "health", "start_within")
        what = f"a replica must be ready within {health.start_within}, and is asked only every {health.every}"
        hint = "raise start_within, or lower every"
        yield Finding(code=ProblemCode.COMBINATION, path=within, what=what, hint=hint, involving=(every,))
