"""A replica that is not as it may be, so that something is done about it."""

from __future__ import annotations

import attrs

from roadstead.memory import process_place
from roadstead.model import ExcessAction
from roadstead.plans import Held
from roadstead.reasons import Change, Reason, ReasonCode
from roadstead.world import Member

__all__ = ["Offender"]


@attrs.frozen(kw_only=True)
class Offender:
    """One replica, what is wrong with it (``code`` and a sentence), and what its owner wants to happen.

    ``because`` is the same as the reason of a step, and ``remedy`` is what somebody could change instead.
    """

    member: Member
    action: ExcessAction
    code: ReasonCode
    detail: str
    because: str
    remedy: Change

    @property
    def process(self) -> str:
        """The server process, as memory names it."""
        replica = self.member.replica
        return process_place(self.member.cluster, replica.id, replica.incarnation)

    def held(self, besides: str = "", change: Change | None = None) -> Held:
        """Return it as something that is said; ``besides`` is why nothing is done about it now."""
        detail = f"{self.detail}; {besides}" if besides else self.detail
        reason = Reason(code=self.code, detail=detail, change=change or self.remedy)
        return Held(deployment=self.member.group.key.deployment, cluster=self.member.cluster, reason=reason)
