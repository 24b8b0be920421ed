"""Making and removing what stands beside the groups: Services, and the disruption budgets of deployments."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from roadstead.errors import Conflict
from roadstead.spi.backend import GroupOrder
from roadstead_backends.kubernetes import names, services
from roadstead_backends.kubernetes.faults import AlreadyExists
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.objects import Budget, Service
from roadstead_backends.kubernetes.standing import Standing
from roadstead_backends.kubernetes.writing import Writer

__all__ = ["Settler"]

_LOG = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T", Service, Budget)


class Settler:
    """Has things stand as they were asked for; what belongs to others is a ``Conflict``.

    ``gone`` is told what was removed, so that no look at the cluster is behind it.
    """

    def __init__(
        self, writer: Writer, standing: Standing, place: Place, cluster: str, gone: Callable[[str, Meta], None]
    ) -> None:
        self._writer = writer
        self._standing = standing
        self._place = place
        self._cluster = cluster
        self._gone = gone

    def settle(self, deployment: str, floor: int | None) -> None:
        """Have the Service and the budget of a deployment stand, or remove all that stands for it."""
        name, standing = names.settled_name(self._place.fleet, deployment), self._standing
        address, budget = standing.service(name), standing.budget(name)
        self._must_be_ours(address, deployment)
        self._must_be_ours(budget, deployment)
        if floor is None:
            self._clear(deployment, name)
            return
        # The Service last: without it nothing stands, so that what was done by half is done again.
        if floor and (budget is None or budget.spec.min_available != floor):
            rule = services.budget(self._place.fleet, self._place.owner_id, deployment, floor)
            standing.put_budget(
                name, self._put(rule, budget, deployment, self._writer.put_budget, self._writer.read_budget)
            )
        elif not floor:
            self._remove_budget(name, deployment)
        if deployment not in standing.settled():
            made = services.service(self._place.fleet, self._place.owner_id, deployment)
            standing.put_service(
                name, self._put(made, address, deployment, self._writer.put_service, self._writer.read_service)
            )

    def _put(
        self,
        document: Json,
        stored: T | None,
        subject: str,
        write: Callable[[Json, T | None, str], T],
        read: Callable[[str, str], T | None],
    ) -> T:
        """Write an object; one that is there already may be what we asked for before, and were not answered."""
        try:
            return write(document, stored, subject)
        except AlreadyExists as taken:
            name = document["metadata"]["name"]
            found = read(name, subject)
            if found is None:
                raise self._conflict(subject, f"{name} was there, and is gone") from taken
            self._must_be_ours(found, subject)
            return write(document, found, subject)

    def make_group_service(self, order: GroupOrder) -> None:
        """Make the headless Service of a group that is about to be made."""
        name = names.group_name(order.fleet, order.key)
        if self._standing.service(name) is not None:
            return
        try:
            made = self._writer.put_service(services.group_service(order), None, str(order.key))
        except AlreadyExists:
            _LOG.info("Service %s was there before its group", name)
        else:
            self._standing.put_service(name, made)

    def remove_group_service(self, name: str, subject: str) -> None:
        """Remove the headless Service of a group."""
        service = self._standing.service(name)
        if service is not None and self._standing.is_ours(service.metadata):
            self._remove_service(service, subject)

    def _clear(self, deployment: str, name: str) -> None:
        for one in self._standing.services(deployment):
            self._remove_service(one, deployment)
        self._remove_budget(name, deployment)

    def _remove_service(self, service: Service, subject: str) -> None:
        self._writer.remove("services", service.metadata, subject)
        self._gone("services", service.metadata)
        self._standing.put_service(service.metadata.name, None)

    def _remove_budget(self, name: str, subject: str) -> None:
        budget = self._standing.budget(name)
        if budget is not None:
            self._writer.remove("poddisruptionbudgets", budget.metadata, subject)
            self._gone("budgets", budget.metadata)
            self._standing.put_budget(name, None)

    def _must_be_ours(self, stored: Service | Budget | None, subject: str) -> None:
        if stored is not None and not self._standing.is_ours(stored.metadata):
            raise self._conflict(subject, f"{stored.metadata.name} belongs to somebody else")

    def _conflict(self, subject: str, why: str) -> Conflict:
        return Conflict(why, cluster=self._cluster, subject=subject, hint="observe again")
