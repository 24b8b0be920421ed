"""What waits to be launched, since when, and what became of the offers that it saw (``/v2/queue``)."""

from __future__ import annotations

import attrs

from roadstead_backends.marathon.emulator.cluster.simulated import Offer
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.constraints import Attribute
from roadstead_backends.marathon.emulator.scheduling.matching import FUNNEL, Reject
from roadstead_backends.marathon.emulator.scheduling.moments import written

__all__ = ["OfferStatistics", "QueueStatistics", "shown_offer"]


@attrs.frozen(kw_only=True)
class _Unused:
    offer: Offer
    reasons: tuple[Reject, ...]
    at: int

    @property
    def counted(self) -> Reject:
        """The reason that is counted."""
        return min(self.reasons, key=FUNNEL.index)


@attrs.define(eq=False)
class OfferStatistics:
    """The offers that one app or pod was matched with, over all its versions."""

    processed: int = 0
    unused: int = 0
    last_used: int | None = None
    last_unused: int | None = None
    rejects: dict[Reject, int] = attrs.field(factory=dict)
    last: dict[str, _Unused | None] = attrs.field(factory=dict)
    """The last offer of each agent; None where it was used."""

    def note(self, offer: Offer, rejects: tuple[Reject, ...], now: int) -> None:
        """Count one offer, used if nothing was against it."""
        self.processed += 1
        if not rejects:
            self.last_used = now
            self.last.pop(offer.agent.id, None)
            return
        self.unused += 1
        self.last_unused = now
        unused = _Unused(offer=offer, reasons=rejects, at=now)
        self.rejects[unused.counted] = self.rejects.get(unused.counted, 0) + 1
        self.last[offer.agent.id] = unused

    def shown(self) -> Document:
        """The summary as it is answered."""
        lasts: dict[Reject, int] = {}
        seen = [each for each in self.last.values() if each is not None]
        for each in seen:
            lasts[each.counted] = lasts.get(each.counted, 0) + 1
        summary: Document = {"processedOffersCount": self.processed, "unusedOffersCount": self.unused}
        if self.last_unused is not None:
            summary["lastUnusedOfferAt"] = written(self.last_unused)
        if self.last_used is not None:
            summary["lastUsedOfferAt"] = written(self.last_used)
        summary["rejectSummaryLastOffers"] = _funnel(lasts, len(seen))
        summary["rejectSummaryLaunchAttempt"] = _funnel(self.rejects, self.processed)
        return summary

    def shown_unused(self) -> list[Document]:
        """The last unused offer of each agent, with the reason."""
        return [
            {
                "offer": shown_offer(each.offer),
                "reason": [one.value for one in each.reasons],
                "timestamp": written(each.at),
            }
            for each in self.last.values()
            if each is not None
        ]


def _funnel(rejects: dict[Reject, int], processed: int) -> list[Document]:
    found = []
    for reject in FUNNEL:
        declined = rejects.get(reject, 0)
        found.append({"reason": reject.value, "declined": declined, "processed": processed})
        processed -= declined
    return found


class QueueStatistics:
    """The statistics of all that ever waited, by id: a new version goes on with the old one's."""

    def __init__(self) -> None:
        self._by_spec: dict[PathId, OfferStatistics] = {}

    def of(self, path: PathId) -> OfferStatistics:
        """The statistics of one app or pod."""
        return self._by_spec.setdefault(path, OfferStatistics())

    def clear(self) -> None:
        """Begin anew with all."""
        self._by_spec.clear()

    def drop(self, path: PathId) -> None:
        """Begin anew."""
        self._by_spec.pop(path, None)


def shown_offer(offer: Offer) -> Document:
    """An offer as it is answered."""
    agent, resources = offer.agent, offer.resources
    scalars = [("cpus", resources.cpus), ("mem", resources.mem), ("disk", resources.disk)]
    if resources.gpus:
        scalars.append(("gpus", resources.gpus))
    shown: list[Document] = [{"name": name, "role": agent.role, "scalar": float(amount)} for name, amount in scalars]
    ranges = [{"begin": low, "end": high} for low, high in offer.ports]
    shown.append({"name": "ports", "role": agent.role, "ranges": ranges})
    attributes = [_attribute(name, value) for name, value in agent.attributes.items()]
    return {
        "id": offer.id,
        "hostname": agent.hostname,
        "agentId": agent.id,
        "resources": shown,
        "attributes": attributes,
    }


def _attribute(name: str, value: Attribute) -> Document:
    match value:
        case str():
            return {"name": name, "text": value}
        case frozenset():
            return {"name": name, "set": sorted(value)}
        case tuple():
            return {"name": name, "ranges": [{"begin": low, "end": high} for low, high in value]}
    return {"name": name, "scalar": float(value)}
