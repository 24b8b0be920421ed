"""Why a rollout stands still, where it does, and what would be enough to let it go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roadstead.decide.fit import No, Question, Room, Unknown, Yes
from roadstead.decide.growth import Growth
from roadstead.decide.retirement import Retirement
from roadstead.decide.rows import Row
from roadstead.holdings import use_of
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.world import Member

__all__ = ["standstill"]


def standstill(rows: Sequence[Row], growth: Growth, retirement: Retirement, room: Room) -> tuple[Reason, ...]:
    """Return why the rollout stands still, if it does.

    Something is needed, nothing moves, and nothing is on its way.
    """
    needy = [row for row in rows if row.need]
    coming = any(row.count > len(row.serving) for row in rows if row.aim)
    going = any(row.count > row.alive for row in rows)
    if not needy or growth.grow or retirement.victims or retirement.forgone or coming or going:
        return ()
    obstacle = _obstacle(needy[0], growth, retirement, room)
    first = f"one more does not fit ({obstacle.detail})" if obstacle is not None else "max_surge allows no more"
    second = f"taking one down first would leave less than the {retirement.floor} that must serve"
    if retirement.blocked:
        second = "would not fit with one taken down first either"
    choices = [
        _enough(rows, needy[0], growth, retirement.floor, room),
        *(reason.change for reason in retirement.blocked),
        *_room_for_a_surge(needy[0], obstacle, growth, room),
    ]
    change = min((one for one in choices if one is not None), key=lambda one: one.kind, default=None)
    return (
        Reason(
            code=ReasonCode.ROLLOUT_HELD,
            detail=f"{first}, and {second}",
            count=obstacle.count if obstacle is not None else 0,
            total=obstacle.total if obstacle is not None else 0,
            raw=obstacle.raw if obstacle is not None else "",
            change=change,
        ),
    )


def _obstacle(needy: Row, growth: Growth, retirement: Retirement, room: Room) -> Reason | None:
    """Return what stands against one more replica, as far as somebody asked, or by asking now."""
    asked = [*growth.blocked, *retirement.blocked]
    if asked:
        return asked[0]
    if growth.total >= growth.wanted + growth.spec.max_surge:
        return None
    answer = room(Question(row=needy, count=1))
    return answer.reason if isinstance(answer, No) else None


def _room_for_a_surge(needy: Row, obstacle: Reason | None, growth: Growth, room: Room) -> Iterator[Change | None]:
    """Yield what would let one more come first: room for it, or leave to have it, or both."""
    may_surge = growth.total < growth.wanted + growth.spec.max_surge
    if may_surge:
        yield obstacle.change if obstacle is not None else None
        return
    answer = room(Question(row=needy, count=1))
    if not isinstance(answer, No):
        yield _MORE_SURGE
    elif answer.reason.change is not None:
        yield Change(ChangeKind.FIX_INPUT, f"raise rollout.max_surge by 1, and {answer.reason.change.text}")


_MORE_SURGE = Change(
    ChangeKind.RAISE_MAX_UNAVAILABLE,
    "raise rollout.max_surge or rollout.max_unavailable by 1",
    "rollout.max_surge",
    (Amount("more", 1),),
)


def _enough(rows: Sequence[Row], needy: Row, growth: Growth, floor: int, room: Room) -> Change | None:
    """Return by how much fewer would have to serve so that one could be taken down first, where that would help."""
    serving = sum(len(row.serving) for row in rows)
    more = max(1, floor - serving + 1)
    if growth.spec.max_unavailable + more > growth.wanted:
        return None
    for row in rows:
        for member in row.serving if row.surplus else ():
            answer = room(Question(row=needy, count=1, without=member))
            if isinstance(answer, Yes) or (isinstance(answer, Unknown) and _fits_instead(needy, member)):
                text = f"raise rollout.max_unavailable by {more}"
                amounts = (Amount("more", more),)
                return Change(ChangeKind.RAISE_MAX_UNAVAILABLE, text, "rollout.max_unavailable", amounts)
    return None


def _fits_instead(needy: Row, member: Member) -> bool:
    """Return whether a replica of ``needy`` fits wherever ``member`` does: it asks for no more, in the same places."""
    new, old = needy.template, member.group.template
    asked, held = use_of(new.resources), use_of(old.resources)
    return (
        needy.key.cluster == member.cluster
        and new.placement == old.placement
        and new.resources.gpu == old.resources.gpu
        and (asked.cpu, asked.memory, asked.disk)
        == (min(asked.cpu, held.cpu), min(asked.memory, held.memory), min(asked.disk, held.disk))
    )
