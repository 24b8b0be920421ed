"""Reads the apps of a fleet from a Marathon into its view: those that changed, and now and then all of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from roadstead.units import Duration
from roadstead_backends.marathon import names
from roadstead_backends.marathon.adoption import Adoptions
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.drift import drift_of
from roadstead_backends.marathon.follower import News
from roadstead_backends.marathon.messages import App
from roadstead_backends.marathon.view import View

__all__ = ["AppReader"]

_LOG = logging.getLogger(__name__)

_ALL_AGAIN: Final = Duration(60_000)
"""How often everything is read although no event says so: what the stream never tells, somebody may have changed."""

_ONE_BY_ONE: Final = 20
"""How many changed apps are read each by itself; more of them are read by reading all."""


class AppReader:
    """Keeps a view up to date; for one thread. ``changed`` are the apps that we changed since they were read."""

    def __init__(self, client: Client, view: View, adoptions: Adoptions, *, fleet: str) -> None:
        self.changed: set[str] = set()
        self._client = client
        self._view = view
        self._adoptions = adoptions
        self._fleet = fleet
        self._all_due = 0.0

    def catch_up(self, news: News) -> None:
        """Read what the event stream told of and what we changed; the first time, and now and then, everything."""
        apps, now = news.apps | self.changed, time.monotonic()
        if news.everything or now >= self._all_due or len(apps) > _ONE_BY_ONE:
            self._put_all([*self._client.definitions(label=names.selector(self._fleet)), *self._adopted()])
            self._all_due = now + _ALL_AGAIN.seconds
        else:
            for app_id in apps:
                self.read(app_id)
        self.changed.clear()

    def read(self, app_id: str) -> App | None:
        """Read one app, note it, and return it; ``None`` where there is none."""
        definition = self._client.definition(app_id)
        app = self._decoded(definition) if definition is not None else None
        if app is None:
            self._adoptions.forget(app_id)
        self._view.put(app_id, app)
        if app is not None and definition is not None:
            self._judge(app, definition)
        return app

    def _put_all(self, definitions: list[msgspec.Raw]) -> None:
        apps = [(self._decoded(one), one) for one in definitions]
        # Who is not found by its label may have lost it.
        for app_id in self._view.apps.keys() - {app.id for app, _ in apps}:
            definition = self._client.definition(app_id)
            if definition is not None:
                apps.append((self._decoded(definition), definition))
        self._view.put_all(app for app, _ in apps)
        for app, definition in apps:
            self._judge(app, definition)

    def _adopted(self) -> Iterator[msgspec.Raw]:
        """Yield the apps that were taken over, which no label tells from others."""
        for app_id in self._adoptions.ids:
            definition = self._client.definition(app_id)
            if definition is None:
                self._adoptions.forget(app_id)
            else:
                yield definition

    def _decoded(self, definition: msgspec.Raw) -> App:
        return self._adoptions.as_ours(msgspec.json.decode(definition, type=App))

    def _judge(self, app: App, definition: msgspec.Raw) -> None:
        """Look for what others have changed, once for each change of anything but the count."""
        known, changed = self._view.known(app.id), app.version_info.last_config_change_at
        if known is None or (known.judged and known.judged == changed):
            return
        found: Mapping[str, Any] = msgspec.json.decode(definition)
        try:
            drift = drift_of(known.stored.rendering, known.marks, found)
        except ValueError as error:
            _LOG.warning("app %s carries a rendering that cannot be read: %s", app.id, error)
            drift = ()
        self._view.judge(app.id, changed, drift)
