"""The only gate: what goes out of here raises nobody's use over their quota. It removes growth and never adds any."""

from __future__ import annotations

import attrs

from roadstead.decide.enough import lowered
from roadstead.decide.ledger import Ledger, quota_limits
from roadstead.holdings import use_of
from roadstead.model import Quota, Resources
from roadstead.plans import Grow
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Cpus, Memory
from roadstead.world import Group

__all__ = ["admit", "over_quota"]


def admit(step: Grow, group: Group | None, ledger: Ledger, wanted: int) -> tuple[Grow | None, Reason | None]:
    """Return what is left of ``step`` within its owner's quota, and why not all of it.

    ``wanted`` is how many replicas its deployment should have in all: where some are allowed, fewer would do.
    Making up for lost replicas of what the group was asked for is no growth: it counts already. What is let through is
    written to the ledger.
    """
    counted = group.pledged if group is not None else 0
    growth = max(0, step.target - counted)
    resources = step.template.resources
    allowed = min(growth, ledger.quota_room(step.owner, resources, step.group.deployment))
    ledger.grow(step.owner, resources, allowed)
    if allowed == growth:
        return step, None
    reason = over_quota(step.owner, resources, growth - allowed, ledger, wanted=wanted)
    target = step.target - (growth - allowed)
    if allowed == 0 and (group is None or target == group.target == group.standing):
        return None, reason
    return attrs.evolve(step, target=target), reason


def over_quota(owner: str, resources: Resources, missing: int, ledger: Ledger, *, wanted: int = 0) -> Reason:
    """Return the reason why ``missing`` of ``wanted`` replicas are over the quota of ``owner``, with the numbers.

    Where they are asked for besides those that are wanted, as when revisions change, ``wanted`` is 0.
    """
    if ledger.is_unknown(owner):
        clusters = ", ".join(sorted(ledger.unseen))
        return Reason(
            code=ReasonCode.UNREACHABLE,
            detail=f"what {owner} holds on {clusters} is not known, so nothing under its quota grows",
            count=missing,
            change=Change(ChangeKind.WAIT, f"wait for {clusters} to answer, or write it off with state: disabled"),
        )
    quota = ledger.quota(owner) or Quota()
    held, each = ledger.owned(owner), use_of(resources)
    exceeded = [
        (name, limit, used, one)
        for name, limit, used, one in quota_limits(quota, held, each)
        if limit is not None and used + one > limit
    ]
    numbers = ", ".join(
        f"{name} {_amount(name, used)} of {_amount(name, limit)} held, {_amount(name, one)} more for each replica"
        for name, limit, used, one in exceeded
    )
    return Reason(
        code=ReasonCode.QUOTA,
        detail=f"{missing} more would be over the quota of {owner}: {numbers}",
        count=missing,
        change=_enough(owner, resources, missing, ledger, wanted),
    )


def _enough(owner: str, resources: Resources, missing: int, ledger: Ledger, wanted: int) -> Change:
    """Return the cheapest change that lets all of them in: fewer, if that leaves some; smaller; or a larger quota."""
    quota, held = ledger.quota(owner) or Quota(), ledger.owned(owner)

    def over(asked: Resources) -> list[tuple[str, int]]:
        limits = quota_limits(quota, held, use_of(asked) * missing)
        return [(name, used + more) for name, limit, used, more in limits if limit is not None and used + more > limit]

    if 0 < missing < wanted:
        fewer = Amount("fewer", missing)
        return Change(ChangeKind.LOWER_REPLICAS, f"lower replicas by {missing}", "replicas", (fewer,))
    smaller = lowered(resources, lambda asked: not over(asked)) if missing == wanted else None
    if smaller is not None:
        return smaller
    needed = over(resources)
    text = " and ".join(f"quotas.{owner}.{name} to {_amount(name, value)}" for name, value in needed)
    amounts = tuple(Amount(name, value) for name, value in needed)
    return Change(ChangeKind.RAISE_QUOTA, f"raise {text}", f"quotas.{owner}", amounts)


def _amount(name: str, value: int) -> str:
    if name == "memory":
        return str(Memory(value))
    return str(Cpus(value))
