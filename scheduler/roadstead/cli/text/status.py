"""The fleet's status on a screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import attrs
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from roadstead.cli.text.scaling import scaling_cell
from roadstead.cli.text.server_loads import server_load_table
from roadstead.cli.text.traffic import gateway_state, gateway_table, load_cells, traffic_table, way_note
from roadstead.cli.text.words import (
    FEW_LINES,
    LIFE_STYLES,
    STATE_STYLES,
    address,
    age,
    cause_text,
    counted,
    labelled,
    limit,
    of,
    plural,
    table,
)
from roadstead.decide.report import (
    ClusterStatus,
    DeploymentStatus,
    FleetStatus,
    QuotaStatus,
    ReplicaStatus,
    Service,
)
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, Memory

__all__ = ["changes", "headline", "progress_table", "stale_text", "status_view"]

_WIDE = 100
_WIDER = 130


def status_view(status: FleetStatus, names: Collection[str] = (), *, verbose: bool = False) -> RenderableType:
    """Return the whole status, or that of the deployments in ``names``; ``verbose`` adds nodes and raw words."""
    chosen = [one for one in status.deployments if not names or one.name in names]
    parts: list[RenderableType] = [headline(status), *_warnings(status), Text(), progress_table(chosen)]
    if any(one.address is not None for one in chosen):
        parts += [Text(), traffic_table(chosen)]
    if any(one.replicas for one in chosen):
        parts += [Text(), _Replicas(chosen, several=len(status.clusters) > 1)]
    # Of one that was asked for by name it is said, too, that nobody knows.
    if any(one.server_load.replicas or (names and one.replicas) for one in chosen):
        parts += [Text(), server_load_table(chosen, replicas=bool(names))]
    reasons = list(_reasons(chosen, raw=FEW_LINES if verbose else 0))
    if reasons:
        parts += [Text(), labelled(reasons)]
    if not names:
        parts += [Text(), _clusters(status.clusters)]
        if status.gateways:
            parts += [Text(), gateway_table(status.gateways)]
        if verbose and any(cluster.nodes for cluster in status.clusters):
            parts += [Text(), _nodes(status.clusters), *_notes(status.clusters)]
        if status.quotas:
            parts += [Text(), _quotas(status.quotas)]
    return Group(*parts)


def headline(status: FleetStatus) -> Text:
    """Return one line: which fleet, and who looks after it."""
    service = status.service
    if service.daemon is None:
        return Text.assemble((f"fleet {status.fleet}", "bold"), ", no daemon: nobody heals")
    up = age(Duration(max(0, status.at - service.started_at))) if service.started_at is not None else "?"
    return Text.assemble((f"fleet {status.fleet}", "bold"), f", daemon {service.daemon} for {up}, turn {service.turn}")


def stale_text(service: Service) -> str:
    """Return that turns fail and since when, or nothing while they do not."""
    if service.failing_since is None:
        return ""
    since = datetime.fromtimestamp(service.failing_since / 1000, tz=UTC)
    return f"turns fail since {since:%Y-%m-%d %H:%M:%SZ}; what is shown is as of turn {service.turn}, the last good one"


def _warnings(status: FleetStatus) -> Iterator[Text]:
    if stale := stale_text(status.service):
        yield Text(stale, style="red")
    for said in status.service.problems:
        yield Text(f"  {said}", style="red")
    if status.service.bad_file:
        yield Text("the fleet file was changed and is wrong; the fleet is as it was before:", style="red")
        for problem in status.service.bad_file:
            yield Text(f"  {problem}")
    if status.service.staged:
        yield Text(
            "the fleet file was changed; `roadstead plan` shows what waits for `roadstead apply`", style="yellow"
        )
    yield from _vanished(status)
    for intent in status.intents:
        yield Text(f"by command: {intent}", style="cyan")
    for notice in status.notices:
        yield Text(str(notice), style="yellow")


def _vanished(status: FleetStatus) -> Iterator[Text]:
    """Yield what the file names no more, and what becomes of it."""
    for orphan in status.orphans:
        where = f"{plural(orphan.replicas, 'replica')} on {', '.join(orphan.clusters)}"
        where += f", at {orphan.address.authority}" if orphan.address is not None else ""
        left = "is being removed" if orphan.removing else "is left as it is"
        hint = "" if orphan.removing else f"; `roadstead delete {orphan.deployment}` removes it"
        yield Text(f"{orphan.deployment} is no longer in the fleet file and {left} ({where}){hint}", style="yellow")
    for gateway in status.gateways:
        if gateway.vanished:
            yield Text(
                f"gateway {gateway.name} is no longer in the fleet file and is left as it is "
                f"({plural(len(gateway.deployments), 'deployment')}); `roadstead apply` asks whether it goes",
                style="yellow",
            )


def progress_table(deployments: Collection[DeploymentStatus]) -> Table:
    """Return one line for each deployment; this is what ``apply`` keeps on the screen."""
    made = table("DEPLOYMENT", "MODEL", "SERVING", "STATE", "REVISION", "ON", "OWNER", right=frozenset({"SERVING"}))
    for one in deployments:
        current = [group for group in one.groups if group.current]
        made.add_row(
            one.name,
            f"{one.model}:{one.version}",
            f"{counted(one.serving)}/{scaling_cell(one.wanted, one.scaling)}",
            Text(one.state.value, style=STATE_STYLES[one.state]),
            " ".join(dict.fromkeys(group.revision for group in current)) or "-",
            _where(one),
            one.owner,
        )
    return made


def _moves(one: DeploymentStatus) -> bool:
    """Return whether replicas are on one cluster that should be on another."""
    return len(one.places) > 1 and any(place.there > place.wanted for place in one.places)


def _where(one: DeploymentStatus) -> str:
    """Return the clusters with replicas; with how many get requests of how many should, where these are to move."""
    if not _moves(one):
        return " ".join(place.cluster for place in one.places if place.there) or "-"
    return " ".join(f"{place.cluster} {place.listed}/{place.wanted}" for place in one.places)


@attrs.frozen
class _Replicas:
    """The replicas of some deployments; what has no room on a narrow screen is left out.

    That is first where they answer, which clients of a gateway need not know, and then what the gateway measures.
    """

    deployments: Collection[DeploymentStatus]
    several: bool

    @property
    def measured(self) -> bool:
        """Whether a gateway has to do with any of them."""
        return any(replica.way is not None for one in self.deployments for replica in one.replicas)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        load = self.measured and options.max_width >= _WIDE
        address_too = options.max_width >= (_WIDER if load else _WIDE)
        columns = ["REPLICA", "LIFE", "NODE", *(["ADDRESS"] if address_too else []), "CPU", "MEMORY"]
        columns += [*(["REQ/S", "ERR/S", "IN FLIGHT"] if load else []), "RESTARTS", "AGE"]
        made = table(*columns, right=frozenset({"REQ/S", "ERR/S", "IN FLIGHT", "RESTARTS"}))
        for one in self.deployments:
            for replica in one.replicas:
                made.add_row(*self._cells(one, replica, with_address=address_too, load=load))
        yield made

    def _cells(
        self, deployment: DeploymentStatus, replica: ReplicaStatus, *, with_address: bool, load: bool
    ) -> Iterator[RenderableType]:
        notes = ", ".join(_notes_on(deployment, replica))
        yield replica.id
        yield Text(replica.life.value + (f" ({notes})" if notes else ""), style=LIFE_STYLES[replica.life])
        yield f"{replica.cluster}/{replica.node or '-'}" if self.several else replica.node or "-"
        if with_address:
            yield address(replica)
        yield of(replica.observed.cpu, replica.requested.cpu)
        yield of(replica.observed.memory, replica.requested.memory)
        if load:
            yield from load_cells(replica.load)
        yield str(replica.restarts)
        yield age(replica.age)


def _notes_on(deployment: DeploymentStatus, replica: ReplicaStatus) -> Iterator[str]:
    """Yield what is to be said beside the life of a replica."""
    if replica.stale:
        yield "stale"
    if note := way_note(replica):
        yield note
    # Of other revisions their names tell.
    current = {(one.cluster, one.revision) for one in deployment.groups if one.current}
    updated = (replica.cluster, replica.revision) not in current or deployment.version in (replica.versions or ())
    if replica.versions and not updated:
        yield f"version {' '.join(str(one) for one in replica.versions)}"


def _reasons(deployments: Collection[DeploymentStatus], *, raw: int) -> Iterator[tuple[RenderableType, RenderableType]]:
    for one in deployments:
        for cause in one.causes:
            # That something was refused says nothing without the words of whoever refused it.
            shown = raw or (1 if cause.code is ReasonCode.REFUSED else 0)
            yield Text(one.name, style="bold"), cause_text(cause, raw=shown)


def _clusters(clusters: Collection[ClusterStatus]) -> Table:
    made = table("CLUSTER", "BACKEND", "STATE", "NODES", "CPU", "MEMORY", "LIMITS", right=frozenset({"NODES"}))
    for one in clusters:
        cpu = of(Cpus(sum(node.cpu_given.milli for node in one.nodes)), Cpus(sum(node.cpu.milli for node in one.nodes)))
        memory = of(
            Memory(sum(node.memory_given.bytes for node in one.nodes)),
            Memory(sum(node.memory.bytes for node in one.nodes)),
        )
        abilities = one.abilities
        made.add_row(
            one.name,
            one.backend,
            _cluster_state(one),
            str(len(one.nodes)),
            cpu if one.nodes else "-",
            memory if one.nodes else "-",
            f"cpu {abilities.cpu_limit}, memory {abilities.memory_limit}" if abilities else "-",
        )
    return made


def _cluster_state(cluster: ClusterStatus) -> Text:
    if cluster.unreachable_since is not None:
        since = datetime.fromtimestamp(cluster.unreachable_since / 1000, tz=UTC)
        return Text(f"unreachable since {since:%Y-%m-%d %H:%M:%SZ}: {cluster.error}", style="red")
    if cluster.error:
        return Text(cluster.error, style="yellow")
    return Text(cluster.state.value)


def _nodes(clusters: Collection[ClusterStatus]) -> Table:
    made = table(
        "NODE", "REPLICAS", "CPU", "MEMORY", "FOREIGN CPU", "FOREIGN MEMORY", "GPUS", right=frozenset({"REPLICAS"})
    )
    for cluster in clusters:
        for node in cluster.nodes:
            made.add_row(
                f"{cluster.name}/{node.name}" + ("" if node.schedulable else " (closed)"),
                str(node.replicas),
                of(node.cpu_given, node.cpu),
                of(node.memory_given, node.memory),
                limit(node.cpu_foreign),
                limit(node.memory_foreign),
                ", ".join(f"{device.id} {device.model} {device.given}/1000" for device in node.devices) or "-",
            )
    return made


def _notes(clusters: Collection[ClusterStatus]) -> Iterator[Text]:
    for cluster in clusters:
        for note in cluster.abilities.notes if cluster.abilities else ():
            yield Text(f"{cluster.name}: {note}")


def _quotas(quotas: Collection[QuotaStatus]) -> Table:
    made = table("OWNER", "CPU", "MEMORY", "GPU")
    for one in quotas:
        gpus = "-" if one.gpu_limit is None else f"{one.gpu_limit / 1000:g}"
        made.add_row(
            one.owner, of(one.cpu, one.cpu_limit), of(one.memory, one.memory_limit), f"{one.gpu / 1000:g}/{gpus}"
        )
    return made


def changes(before: FleetStatus | None, after: FleetStatus, names: Collection[str] = ()) -> list[str]:
    """Return what is different from one status to the next, a line each: this is what is printed off a terminal."""
    lines: list[str] = []
    for one in after.deployments:
        if names and one.name not in names:
            continue
        old = before.deployment(one.name) if before is not None else None
        lines += _replica_changes(old, one) if old is not None else ()
        if old is None or (old.state, old.serving, old.wanted) != (one.state, one.serving, one.wanted):
            lines.append(f"{one.name}: {one.state.value}, {counted(one.serving)}/{one.wanted} serving")
        if old is not None and _moves(one) and _where(old) != _where(one):
            lines.append(f"{one.name}: serving on {_where(one)}")
        # A reason whose numbers and times change is no new reason.
        known = {cause.code for cause in old.causes} if old is not None else set()
        lines += [f"{one.name}: {cause}" for cause in one.causes if cause.code not in known]
    lines += _gateway_changes(before, after) if not names else ()
    gone = before.deployments if before is not None else ()
    lines += [f"{one.name}: gone" for one in gone if after.deployment(one.name) is None]
    return lines


def _gateway_changes(before: FleetStatus | None, after: FleetStatus) -> Iterator[str]:
    for one in after.gateways:
        old = before.gateway(one.name) if before is not None else None
        if old is None or gateway_state(old) != gateway_state(one):
            yield f"gateway {one.name}: {gateway_state(one)}"


def _replica_changes(old: DeploymentStatus, new: DeploymentStatus) -> Iterator[str]:
    before = {(one.cluster, one.id): one for one in old.replicas}
    after = {(one.cluster, one.id): one for one in new.replicas}
    for key, one in after.items():
        was = before.get(key)
        if was is None or was.life is not one.life:
            came = f"{was.life.value} -> " if was is not None else ""
            yield f"{one.id}: {came}{one.life.value}"
        if was is not None and was.restarts != one.restarts:
            yield f"{one.id}: restarted, {plural(one.restarts, 'restart')} in all"
    for key, was in before.items():
        if key not in after:
            yield f"{was.id}: {was.life.value} -> gone"
