"""A plan on a screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from roadstead.cli.text.words import FEW_LINES, cause_text, labelled, limit, plural, rough, table
from roadstead.decide.report import Action, AddressChange, DeploymentPlan, PlanView, QuotaChange
from roadstead.reasons import ReasonCode

__all__ = ["plan_view_text", "totals"]

_SIGNS: Mapping[Action, tuple[str, str]] = MappingProxyType(
    {
        Action.CREATE: ("+", "green"),
        Action.REPLACE: ("~", "yellow"),
        Action.RELOAD: ("~", "yellow"),
        Action.SCALE: ("~", "yellow"),
        Action.MOVE: ("~", "yellow"),
        Action.REPAIR: ("~", "yellow"),
        Action.ROUTE: ("~", "yellow"),
        Action.DELETE: ("-", "red"),
        Action.HELD: ("!", "red"),
        Action.NONE: (" ", ""),
    }
)


def plan_view_text(plan: PlanView, *, verbose: bool = False) -> RenderableType:
    """Return what changes, what is held and why, and the totals; ``verbose`` adds the next turn's steps."""
    parts: list[RenderableType] = []
    for one in plan.deployments:
        parts += [*_deployment(one, verbose=verbose), Text()]
    parts += [Text(str(notice), style="yellow") for notice in plan.notices]
    parts += [Text(f"by command: {intent}", style="cyan") for intent in plan.intents]
    left = [*plan.orphans, *(f"gateway {name}" for name in plan.vanished)]
    if left:
        stays = f"no longer in the fleet file, and left as it is until `roadstead apply` asks: {', '.join(left)}"
        parts.append(Text(stays, style="yellow"))
    quotas = [one for one in plan.quotas if _moves(one)]
    if quotas:
        parts += [_quotas(quotas), Text()]
    return Group(*parts, Text(totals(plan), style="bold"))


def totals(plan: PlanView) -> str:
    """Return the plan in one line."""
    if plan.empty:
        return f"Plan: nothing to do, {plural(plan.unchanged, 'deployment')} as the file asks or on the way there"
    counted = [f"{plan.count(action)} {action.value}" for action in (Action.CREATE, Action.REPLACE, Action.SCALE)]
    counted += [
        f"{count} {one.value}"
        for one in (Action.MOVE, Action.RELOAD, Action.REPAIR, Action.ROUTE)
        for count in [plan.count(one)]
        if count
    ]
    counted.append(f"{plan.count(Action.DELETE)} delete")
    counted += [f"{count} held" for count in [plan.count(Action.HELD)] if count]
    return f"Plan: {', '.join(counted)}; {plan.unchanged} unchanged"


def _deployment(one: DeploymentPlan, *, verbose: bool) -> Iterator[RenderableType]:
    sign, style = _SIGNS[one.action]
    yield Text.assemble((f"{sign} {one.name}", f"bold {style}"), f"  {' '.join(one.clusters)}  {_headline(one)}")
    if one.changes:
        yield _changes(one)
    rows = list(_rows(one, verbose=verbose))
    if rows:
        yield labelled(rows, indent=4)


def _rows(one: DeploymentPlan, *, verbose: bool) -> Iterator[tuple[RenderableType, RenderableType]]:
    if one.moved:
        yield "move", ", ".join(f"{moved.cluster} {moved.was} -> {moved.wanted}" for moved in one.moved)
    if one.scaling is not None and one.scaling.because:
        yield "load", one.scaling.because
    if one.address is not None:
        yield "address", _address(one.address)
    for placed in one.placed:
        devices = f" with {', '.join(placed.devices)}" if placed.devices else ""
        if placed.replica:
            yield "place", f"{placed.replica} on {placed.node}{devices}"
    new = Counter(placed.node for placed in one.placed if not placed.replica)
    if new:
        yield "place", ", ".join(f"{count} on {node}" for node, count in sorted(new.items()))
    for step in one.steps if verbose else ():
        counts = f" {step.was} -> {step.target}" if step.target is not None else ""
        yield "step", f"{step.kind.value} {step.subject}{counts}: {step.because}"
    for cause in one.held:
        yield (
            Text("held", style="red"),
            cause_text(cause, raw=FEW_LINES if verbose or cause.code is ReasonCode.ROLLOUT_FAILED else 0),
        )


def _headline(one: DeploymentPlan) -> str:
    match one.action:
        case Action.CREATE:
            return f"create {one.wanted}, revision {one.revision}"
        case Action.REPLACE | Action.RELOAD:
            return f"{_renewal(one)}, never below {one.floor} of {one.wanted} serving"
        case Action.SCALE:
            floor = f", never below {one.floor} serving" if one.was > one.wanted else ""
            return f"scale {'down' if one.was > one.wanted else 'up'} {one.was} -> {one.wanted}{floor}"
        case Action.MOVE:
            return f"move, never below {one.floor} of {one.wanted} serving"
        case Action.REPAIR:
            return f"repair, {one.wanted} wanted, {one.pending} without a node"
        case Action.ROUTE:
            counts = [f"send requests to {plural(step.target or 0, 'replica')}" for step in one.steps[:1]]
            return counts[0] if counts else "change where clients connect"
        case Action.DELETE:
            return f"delete {plural(one.was, 'replica')}"
        case Action.HELD | Action.NONE:
            return f"held, {one.wanted} wanted, {one.pending} without a node"


def _renewal(one: DeploymentPlan) -> str:
    if one.action is Action.RELOAD:
        return f"load version {one.version} in place"
    return f"replace by {one.strategy} with revision {one.revision}"


def _address(change: AddressChange) -> str:
    if change.new is None:
        return f"{change.old} of gateway {change.gateway} -> none: clients follow `roadstead endpoints`"
    if change.old is None:
        return f"{change.new} of gateway {change.gateway}, new"
    return f"{change.old} -> {change.new} of gateway {change.gateway}: clients of the old one are cut off"


def _changes(one: DeploymentPlan) -> Table:
    made = table("", "", "", "")
    made.show_header = False
    for change in one.changes:
        made.add_row(f"    {change.field}", change.old, f"-> {change.new}", "(replaces)" if change.replaces else "")
    return made


def _moves(quota: QuotaChange) -> bool:
    return (quota.cpu, quota.memory, quota.gpu) != (quota.cpu_then, quota.memory_then, quota.gpu_then)


def _quotas(quotas: list[QuotaChange]) -> Table:
    made = table("QUOTA", "CPU", "MEMORY", "GPU")
    for one in quotas:
        gpus = "-" if one.gpu_limit is None else f"{one.gpu_limit / 1000:g}"
        made.add_row(
            one.owner,
            f"{one.cpu} -> {one.cpu_then} of {limit(one.cpu_limit)}",
            f"{rough(one.memory)} -> {rough(one.memory_then)} of {limit(one.memory_limit)}",
            f"{one.gpu / 1000:g} -> {one.gpu_then / 1000:g} of {gpus}",
        )
    return made
