"""Whether somebody else writes to our apps: another Roadstead of the same owner id, a pipeline, a person. Pure.

Marathon has no compare-and-set and no lease, so two writers cannot be kept apart. They can be noticed: every change of
an app is a new version of it, and every change is a deployment, and Marathon's answers to our own writes name both.
What was there when we first looked is nobody's fault; what comes while an answer of ours is lost may be our own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import attrs

from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Duration
from roadstead_backends.marathon.messages import App, Deployment

__all__ = ["Writers"]

_TOLD_FOR: Final = Duration(600_000)
_MOST_KNOWN: Final = 10_000
"""Versions and deployments of ours that are remembered; those before them ended long ago."""


@attrs.frozen(kw_only=True)
class _Foreign:
    """What somebody else did to an app: when that was first seen, and until when it is told (ms since the epoch)."""

    at: int
    until: int
    what: str
    raw: str


class Writers:
    """Tells our own writes from those of others, app by app.

    Told of each write of ours when it is answered, or when its answer is lost, and of all apps of ours and all
    deployments each time they were read.
    """

    def __init__(self) -> None:
        self._seen: dict[str, App] = {}
        self._ours: dict[str, None] = {}
        self._doubtful: set[str] = set()
        self._foreign: dict[str, _Foreign] = {}
        self._begun = False

    def wrote(self, app_id: str, *, version: str, deployments: Iterable[str]) -> None:
        """Note a write of ours that Marathon answered: the version that the app has then, and what carries it out.

        ``version`` is empty where the answer does not name it: the next one that is seen is then ours.
        """
        self._own(*filter(None, (version, *deployments)))
        if not version:
            self._doubtful.add(app_id)

    def lost(self, app_id: str) -> None:
        """Note that a write of ours may have happened."""
        self._doubtful.add(app_id)

    def see(self, apps: Iterable[App], deployments: Iterable[Deployment], now: int) -> None:
        """Compare what is there with what we wrote; ``now`` is in milliseconds since the epoch."""
        found = {app.id: app for app in apps}
        for deployment in deployments:  # before the apps, which take doubts away
            self._see_deployment(deployment, found, now)
        for app_id, app in found.items():
            before = self._seen.get(app_id)
            if before is not app:
                self._see_app(app, before, now)
        for app_id in self._foreign.keys() - found.keys():
            del self._foreign[app_id]
        self._seen, self._begun = found, True

    @property
    def suspected(self) -> Collection[str]:
        """The apps that somebody else may have written to."""
        return self._foreign.keys()

    def reason(self, app_id: str, now: int) -> Reason | None:
        """Return that somebody else wrote to an app, for a while after that was seen; ``None`` where nobody did.

        Our own writes since then do not take it back: who puts right at once what the other did would never tell.
        """
        found = self._foreign.get(app_id)
        if found is None or now >= found.until:
            return None
        text = (
            "find who else changes this app (another Roadstead with this fleet's state, a pipeline, a person), "
            "and leave it to one of you"
        )
        when = dt.datetime.fromtimestamp(found.at // 1000, tz=dt.UTC)
        detail = f"somebody else wrote to app {app_id} at {when:%H:%M:%SZ}: {found.what}"
        change = Change(ChangeKind.FIX_INPUT, text)
        return Reason(code=ReasonCode.CONTESTED, detail=detail, raw=found.raw, change=change)

    def _own(self, *names: str) -> None:
        self._ours.update(dict.fromkeys(names))
        while len(self._ours) > _MOST_KNOWN:
            del self._ours[next(iter(self._ours))]

    def _see_app(self, app: App, before: App | None, now: int) -> None:
        if before is None or app.id in self._doubtful:
            self._own(app.version)
            if before is None or before.version != app.version:
                self._doubtful.discard(app.id)
            return
        if before.version == app.version or app.version in self._ours:
            return
        scaled = f", and its instances went from {before.instances} to {app.instances}"
        what = f"its version {app.version} is none of ours{scaled if app.instances != before.instances else ''}"
        raw = f"version {before.version} -> {app.version}"
        self._foreign[app.id] = _Foreign(at=now, until=now + _TOLD_FOR.ms, what=what, raw=raw)

    def _see_deployment(self, deployment: Deployment, apps: Mapping[str, App], now: int) -> None:
        if deployment.id in self._ours or deployment.version in self._ours:
            return
        touched = [app_id for app_id in deployment.affected_apps if app_id in apps]
        if not self._begun or any(one in self._doubtful or one not in self._seen for one in touched):
            # It may be our own, of before we began or of a write whose answer was lost.
            self._own(deployment.id)
            return
        others = len(deployment.affected_apps) + len(deployment.affected_pods) - 1
        beside = f", which affects {others} more," if others else ""
        what = f"deployment {deployment.id}{beside} is none of ours"
        for app_id in touched:
            until, known = now + _TOLD_FOR.ms, self._foreign.get(app_id)
            if known is None or known.until <= now:
                known = _Foreign(at=now, until=until, what=what, raw=f"deployment {deployment.id}")
            self._foreign[app_id] = attrs.evolve(known, until=until)
