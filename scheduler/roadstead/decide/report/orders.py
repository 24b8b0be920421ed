"""What commands asked for on top of the file, as people and programs are told it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.model import Fleet

__all__ = ["IntentStatus", "intents_of"]


@attrs.frozen(kw_only=True)
class IntentStatus:
    """What a command asked for on top of the file.

    ``replicas`` is for ``scale`` only. ``subject`` is what it names besides the deployment, such as a revision, and
    empty where there is nothing.
    """

    verb: str
    deployment: str
    replicas: int | None
    subject: str

    def __str__(self) -> str:
        count = "" if self.replicas is None else f" {self.replicas}"
        return f"{self.verb} {self.deployment}{count}{self.subject and f' {self.subject}'}"


def intents_of(fleet: Fleet, deployment: str | None = None) -> tuple[IntentStatus, ...]:
    """Return what commands asked for and still holds, for one deployment or all of them."""
    return tuple(one for one in _intents(fleet) if deployment in {None, one.deployment})


def _intents(fleet: Fleet) -> Iterator[IntentStatus]:
    intents = fleet.intents
    for scale in intents.scale:
        yield IntentStatus(verb="scale", deployment=scale.deployment, replicas=scale.replicas, subject="")
    for remove in intents.remove:
        yield IntentStatus(verb="delete", deployment=remove.deployment, replicas=None, subject="")
    for migrate in intents.migrate:
        yield IntentStatus(
            verb="migrate", deployment=migrate.deployment, replicas=None, subject=f"to cluster {migrate.to}"
        )
    for pause in intents.pause:
        yield IntentStatus(verb="rollout pause", deployment=pause.deployment, replicas=None, subject="")
    for promote in intents.promote:
        what = _named(promote.revision, promote.version)
        yield IntentStatus(verb="rollout promote", deployment=promote.deployment, replicas=None, subject=what)
    for undo in intents.undo:
        what = f"to {_named(undo.revision, undo.version)}"
        yield IntentStatus(verb="rollout undo", deployment=undo.deployment, replicas=None, subject=what)


def _named(revision: str, version: int | None) -> str:
    return f"revision {revision}" if version is None else f"version {version}"
