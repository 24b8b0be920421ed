"""The event bus: what happened, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import written

__all__ = ["EventBus", "as_play"]

_BY_NAME: Final = frozenset({"add_health_check_event", "remove_health_check_event", "failed_health_check_event"})
_MOMENT_FIRST: Final = frozenset({"instance_changed_event", "instance_health_changed_event"})
Listener = Callable[[str, Document], None]


class EventBus:
    """Passes events on, each stamped with the moment at which it was published."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Pass events to ``listener``; return how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def publish(self, kind: str, **fields: Any) -> None:
        """Tell of one event."""
        if not self._listeners:
            return
        event = _ordered(kind, {**fields, "eventType": kind, "timestamp": written(self._timeline.now)})
        for listener in tuple(self._listeners):
            listener(kind, event)

    def instance_changed(self, instance: Instance) -> None:
        """Tell of an instance's condition."""
        agent = instance.agent if instance.condition != "Scheduled" else None
        self.publish(
            "instance_changed_event",
            instanceId=instance.id,
            condition=instance.condition,
            runSpecId=str(instance.spec.id),
            agentId=agent.id if agent is not None else None,
            host=agent.hostname if agent is not None else None,
            runSpecVersion=written(instance.spec.version),
        )

    def instance_health(self, instance: Instance, healthy: bool | None) -> None:  # noqa: FBT001
        """Tell whether an instance is healthy."""
        self.publish(
            "instance_health_changed_event",
            instanceId=instance.id,
            runSpecId=str(instance.spec.id),
            healthy=healthy,
            runSpecVersion=written(instance.spec.version),
        )


def _ordered(kind: str, event: Document) -> Document:
    """The event with its fields as the original has them: by hand, by macro or by name."""
    if kind in _BY_NAME:
        return dict(sorted(event.items()))
    if kind in _MOMENT_FIRST:
        del event["eventType"]
        return {**event, "eventType": kind}
    if kind == "deployment_failed":
        reason = event.pop("reason")
        return {**event, "reason": reason}
    return event


def as_play(value: Any) -> Any:
    """The value as play-json writes it in events and in the status of pods: whole numbers without a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: as_play(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_play(item) for item in value]
    return value
