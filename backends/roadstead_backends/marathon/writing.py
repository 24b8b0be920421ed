"""Changes of our apps: made, scaled, given up and removed, each by as few requests as it takes.

Of an app that exists nothing but its number of instances is ever changed, except to put back what others changed. All
errors are about the group or replica that was asked for, not about the app or request that it came down to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from roadstead.errors import BackendError, OutcomeUnknown, Retryable
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.locks import Locks
from roadstead_backends.marathon.messages import App, Deployed
from roadstead_backends.marathon.writers import Writers

__all__ = ["MOST_DEPLOYMENTS", "Writer", "about"]

T = TypeVar("T")
Json = dict[str, Any]

MOST_DEPLOYMENTS: Final = 50
"""How many deployments of ours may run at once: half of what a Marathon carries out, so that others are not kept out.

What makes room is not held up by it, nor what takes the place of a deployment that runs.
"""


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Have errors say that they are about ``subject``."""
    try:
        yield
    except BackendError as error:
        error.subject = subject
        raise


class Writer:
    """Asks one Marathon for changes.

    ``changed`` is told of each app before it is asked to change, and ``writers`` of what came of it.
    """

    def __init__(
        self,
        client: Client,
        cluster: str,
        writers: Writers,
        *,
        is_ours: Callable[[str], bool],
        changed: Callable[[str], None],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._writers = writers
        self._is_ours = is_ours
        self._changed = changed
        self.in_flight: frozenset[str] = frozenset()
        """The apps of ours that are being deployed, as far as it is known."""

    def create(self, app: Json) -> None:
        """Make an app; one of that name is :class:`~roadstead_backends.marathon.faults.AlreadyExists`."""
        app_id = str(app["id"])
        self._reserve(app_id)
        made = self._insist(app_id, lambda force: self._client.create(app, force=force))
        self._writers.wrote(app_id, version=made.version, deployments=[one.id for one in made.deployments])

    def scale(self, app: App, instances: int) -> None:
        """Ask for another number of instances; of those that are too many Marathon chooses who goes."""
        if instances > app.instances:
            self._reserve(app.id)
        self._changed(app.id)
        self._deploy(app.id, lambda force: self._client.scale(app.id, instances, force=force))

    def retire(self, app: App, tasks: tuple[str, ...]) -> None:
        """Stop exactly these tasks, and ask for so many fewer."""
        self._changed(app.id)
        self._deploy(app.id, lambda force: self._client.kill(tasks, scale=True, force=force))

    def give_up(self, app: App, tasks: tuple[str, ...]) -> None:
        """Stop exactly these tasks, of which Marathon has more than it is asked for: the count stays."""
        self._changed(app.id)
        self._client.kill(tasks, scale=False, wipe=True)

    def replace(self, app: App, task: str) -> None:
        """Stop a task, and have another instance take its place.

        A task that is only killed comes back as the same instance, and one that is wiped is missed only by a check that
        Marathon makes every few minutes. So it is given up with its place, and the place is asked for again.
        """
        self.retire(app, (task,))
        self._deploy(app.id, lambda force: self._client.scale(app.id, app.instances, force=force))

    def put_back(self, app: App, document: Mapping[str, Any]) -> None:
        """Have an app be what it was made as; its tasks are replaced, one more first."""
        self._reserve(app.id)
        self._changed(app.id)
        self._deploy(app.id, lambda force: self._client.replace(document, force=force))

    def delete(self, app_id: str) -> None:
        """Remove an app; one that is gone is fine."""
        self._changed(app_id)
        self._insist(app_id, lambda force: self._client.delete(app_id, force=force))

    def _deploy(self, app_id: str, change: Callable[[bool], Deployed]) -> None:
        done = self._insist(app_id, change)
        self._writers.wrote(app_id, version=done.version, deployments=[done.deployment_id])

    def _insist(self, app_id: str, change: Callable[[bool], T]) -> T:
        try:
            return self._locks(app_id).insist(change)
        except OutcomeUnknown:
            self._writers.lost(app_id)
            raise

    def _locks(self, app_id: str) -> Locks:
        return Locks(self._client, lambda other: other == app_id or self._is_ours(other))

    def _reserve(self, app_id: str) -> None:
        """See that one more deployment may run; one that is in the way of this app's gives its place to it."""
        self._changed(app_id)
        if len(self.in_flight - {app_id}) >= MOST_DEPLOYMENTS:
            raise Retryable(
                f"{len(self.in_flight)} deployments of ours are being carried out, which is as many as we ever begin",
                cluster=self._cluster,
                hint="see which of them do not end, and why",
            )
        self.in_flight |= {app_id}
