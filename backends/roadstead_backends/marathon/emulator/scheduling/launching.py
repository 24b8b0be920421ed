"""The launch queue: which instances wait, and what offers are used for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.cluster.simulated import Offer, SimCluster
from roadstead_backends.marathon.emulator.cluster.timeline import Timer
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.backoff import RateLimiter
from roadstead_backends.marathon.emulator.scheduling.commands import mesos_tasks, resources_of
from roadstead_backends.marathon.emulator.scheduling.events import EventBus
from roadstead_backends.marathon.emulator.scheduling.instances import Instance, Tracker
from roadstead_backends.marathon.emulator.scheduling.matching import Match, Ways, match
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.queue import QueueStatistics
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["Launcher"]

_Configuration = tuple[PathId, int]
"""An app or pod, and when its configuration last changed: instances of an old one may still wait beside new ones."""
_SEED: Final = 31_000
"""So that the same requests get the same ports each time."""


class Launcher:
    """Matches waiting instances with offers: first fit, one instance of an app after the other."""

    def __init__(
        self,
        *,
        cluster: SimCluster,
        settings: Settings,
        tracker: Tracker,
        limiter: RateLimiter,
        events: EventBus,
    ) -> None:
        self._cluster = cluster
        self._timeline = cluster.timeline
        self._settings = settings
        self._tracker = tracker
        self._limiter = limiter
        self._events = events
        self._statistics = QueueStatistics()
        self._waiting: dict[PathId, dict[str, Instance]] = {}
        self._since: dict[str, int] = {}
        self._tokens = settings.launch_token
        self._refill: Timer | None = None
        self._wake: Timer | None = None
        self._ways = Ways(
            quota=settings.profile.group_by_quota,
            scarce=settings.gpu_scheduling_behavior,
            chance=Random(_SEED),  # noqa: S311  # nothing is kept secret by it
        )

    def add(self, spec: RunSpec, count: int) -> list[Instance]:
        """Let so many new instances wait."""
        added = []
        for _ in range(count):
            instance = self._tracker.new(spec, self._timeline.now)
            self._events.instance_changed(instance)
            self._enqueue(instance)
            added.append(instance)
        if added:
            self._want_offers()
        return added

    def put_back(self, instance: Instance) -> None:
        """Let an instance wait for its next incarnation."""
        self._enqueue(instance)
        self._want_offers()

    def _enqueue(self, instance: Instance) -> None:
        instance.condition = "Scheduled"
        self._waiting.setdefault(instance.spec.id, {})[instance.id] = instance
        self._since[instance.id] = self._timeline.now

    def remove(self, instance: Instance) -> None:
        """Let an instance wait no more."""
        waiting = self._waiting.get(instance.spec.id, {})
        waiting.pop(instance.id, None)
        self._since.pop(instance.id, None)
        if not waiting:
            self._waiting.pop(instance.spec.id, None)

    def purge(self, path: PathId) -> None:
        """Forget all that waits of an app or pod."""
        for instance_id in self._waiting.pop(path, {}):
            self._since.pop(instance_id, None)

    def add_token(self) -> None:
        """Allow one more launch, because an instance came to run."""
        self._tokens = min(self._tokens + 1, self._settings.launch_token)

    def reset_delay(self, path: PathId) -> bool:
        """Forget the delay of an app or pod; say whether it waits at all."""
        waiting = self._waiting.get(path)
        if waiting is None:
            return False
        for instance in waiting.values():
            self._limiter.reset(instance.spec)
        self._want_offers()
        return True

    def forget(self) -> None:
        """Forget what only memory holds: delays and statistics."""
        self._limiter.clear()
        self._statistics.clear()

    def shown(self, definition: Callable[[PathId], RunSpec | None], *, unused: bool) -> list[Document]:
        """The queue as it is answered; an item shows the present ``definition``, not that of what waits."""
        found = [(definition(path), waiting) for path, waiting in self._waiting.items()]
        return [self._item(spec, waiting, unused=unused) for spec, waiting in found if spec is not None]

    def _item(self, spec: RunSpec, waiting: dict[str, Instance], *, unused: bool) -> Document:
        until = self._limiter.until(spec)
        left = 0 if until is None else max(0, until - self._timeline.now)
        statistics = self._statistics.of(spec.id)
        item: Document = {"count": len(waiting)}
        if self._settings.profile.roles:
            item["role"] = spec.role
        item["delay"] = {"timeLeftSeconds": left // 1000, "overdue": left == 0}
        item["since"] = written(min(self._since[instance_id] for instance_id in waiting))
        item["processedOffersSummary"] = statistics.shown()
        if unused:
            item["lastUnusedOffers"] = statistics.shown_unused()
        item["pod" if spec.is_pod else "app"] = self._settings.profile.seen(spec.shown())
        return item

    # Offers ---------------------------------------------------------------------------------------------------------

    def _want_offers(self) -> None:
        """Ask for offers now if something may be launched, or when its delay is over."""
        due = self._earliest()
        if due is None:
            self._cluster.suppress()
        elif due <= self._timeline.now:
            self._cluster.revive()
        else:
            self._wake_at(due)

    def _earliest(self) -> int | None:
        """When the first of the waiting may be launched; None where nothing waits."""
        now = self._timeline.now
        specs = {instance.spec for waiting in self._waiting.values() for instance in _first_of_each(waiting).values()}
        return min((self._limiter.until(spec) or now for spec in specs), default=None)

    def _wake_at(self, due: int) -> None:
        if self._wake is not None and self._wake.due <= due and self._wake.due > self._timeline.now:
            return
        if self._wake is not None:
            self._wake.cancel()
        self._wake = self._timeline.at(due, self._want_offers)

    def offered(self, offers: Sequence[Offer]) -> None:
        """Use what fits and decline the rest."""
        self._begin_refill()
        for offer in offers:
            if self._use(offer):
                self._cluster.give_back(offer)
            else:
                self._cluster.decline(offer, self._settings.decline_offer_duration)
        if not self._waiting:
            self._cluster.suppress()
        else:
            due = max(self._timeline.now + self._settings.min_revive_offers_interval, self._earliest() or 0)
            self._wake_at(due)

    def _use(self, offer: Offer) -> bool:
        """Launch what fits on one offer, at most so many; each configuration of each app is tried in turn."""
        left, launched = offer, 0
        rejected: set[_Configuration] = set()
        while launched < self._settings.max_instances_per_offer:
            progress = False
            for configuration in [
                (path, each) for path, waiting in self._waiting.items() for each in _first_of_each(waiting)
            ]:
                if configuration in rejected or self._tokens <= 0 or launched >= self._settings.max_instances_per_offer:
                    continue
                after = self._try(configuration, left)
                if after is None:
                    rejected.add(configuration)
                else:
                    left, launched, progress = after, launched + 1, True
            if not progress:
                break
        return launched > 0

    def _try(self, configuration: _Configuration, offer: Offer) -> Offer | None:
        """Launch one instance of a configuration on what is left of an offer; return what is left then."""
        path, changed_at = configuration
        instance = _first_of_each(self._waiting.get(path, {})).get(changed_at)
        now = self._timeline.now
        if instance is None or (self._limiter.until(instance.spec) or 0) > now:
            return None
        spec = instance.spec
        need = resources_of(spec)
        found = match(
            spec,
            offer,
            need,
            [each.agent.place for each in self._placed(spec) if each.agent is not None] if spec.constraints else (),
            self._ways,
        )
        statistics = self._statistics.of(path)
        if not isinstance(found, Match):
            statistics.note(offer, found, now)
            return None
        statistics.note(offer, (), now)
        self._launch(instance, offer, found)
        agent = offer.agent
        return attrs.evolve(offer, resources=agent.free, ports=tuple(agent.free_ports()))

    def _placed(self, spec: RunSpec) -> Iterable[Instance]:
        """The instances that constraints count: those of the present configuration, on an agent."""
        since = spec.stamps.last_config_change
        return (
            instance
            for instance in self._tracker.of(spec.id)
            if instance.spec.stamps.last_config_change >= since and instance.is_launched
        )

    def _launch(self, instance: Instance, offer: Offer, found: Match) -> None:
        now = self._timeline.now
        self.remove(instance)
        self._tokens -= 1
        instance.incarnation += 1
        instance.agent = offer.agent
        instance.condition, instance.since = "Provisioned", now
        instance.unreachable_since, instance.kill_requested = None, False
        tracked, tasks = mesos_tasks(instance, offer.agent, found, now)
        self._tracker.provision(instance, tracked)
        self._events.instance_changed(instance)
        self._cluster.launch(tasks)

    def _begin_refill(self) -> None:
        if self._refill is None:
            self._refill = self._timeline.after(self._settings.launch_token_refresh_interval, self._refilled)

    def _refilled(self) -> None:
        self._refill = None
        self._tokens = self._settings.launch_token
        if self._waiting:
            self._begin_refill()
            self._want_offers()


def _first_of_each(waiting: Mapping[str, Instance]) -> dict[int, Instance]:
    """The instance of each configuration that has its turn, by when that configuration arose."""
    found: dict[int, Instance] = {}
    for instance in waiting.values():
        found.setdefault(instance.spec.stamps.last_config_change, instance)
    return found
