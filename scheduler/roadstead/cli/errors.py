"""What can go wrong between a person and the fleet, besides what the parts below report themselves."""

from __future__ import annotations

from roadstead.cli.exits import Exit
from roadstead.errors import RoadsteadError

__all__ = [
    "BadInput",
    "CannotBePlaced",
    "LoadFailed",
    "NeedsAnswer",
    "NoDaemon",
    "NoFleetFile",
    "NoModel",
    "NoPage",
    "NotFound",
    "NotReached",
    "NotUnderstood",
    "OtherFile",
    "Paused",
    "Refused",
    "RolledBack",
    "RolloutFailed",
    "ServerFailed",
    "ServerSilent",
    "Silent",
    "TimedOut",
]


class NotUnderstood(RoadsteadError):
    """The command line cannot be understood."""

    code = "RS030"
    exit_code = Exit.USAGE


class NeedsAnswer(RoadsteadError):
    """A question would be asked, and there is nobody to answer it."""

    code = "RS031"
    exit_code = Exit.USAGE


class NoFleetFile(RoadsteadError):
    """There is no fleet file where one is looked for, or it does not even name its fleet."""

    code = "RS032"
    exit_code = Exit.INVALID


class NoDaemon(RoadsteadError):
    """No daemon answers, and what was asked for needs one."""

    code = "RS033"
    exit_code = Exit.UNREACHABLE


class Silent(NoDaemon):
    """A daemon is there and does not answer."""


class NotFound(RoadsteadError):
    """There is no deployment or replica of that name."""

    code = "RS034"


class NoPage(RoadsteadError):
    """There is no page about that code."""

    code = "RS035"


class OtherFile(RoadsteadError):
    """The daemon follows another file than the one that is to be planned or applied."""

    code = "RS036"
    exit_code = Exit.INVALID


class NoModel(RoadsteadError):
    """There is no model where one is named."""

    code = "RS037"
    exit_code = Exit.INVALID


class BadInput(RoadsteadError):
    """What is to be sent to a model is not what it takes, or nothing that could be sent."""

    code = "RS038"
    exit_code = Exit.INVALID


class CannotBePlaced(RoadsteadError):
    """Something that is wanted has no place, or is over its owner's quota."""

    code = "RS040"
    exit_code = Exit.UNPLACEABLE


class TimedOut(RoadsteadError):
    """It is not done within the time that was given."""

    code = "RS041"
    exit_code = Exit.TIMED_OUT


class RolledBack(RoadsteadError):
    """The new revision failed and the old one serves."""

    code = "RS042"
    exit_code = Exit.ROLLED_BACK


class Paused(RoadsteadError):
    """Somebody paused what is waited for."""

    code = "RS064"


class RolloutFailed(RoadsteadError):
    """The first revision failed, and there is no older one to return to."""

    code = "RS043"


class ServerFailed(RoadsteadError):
    """A model server, or the gateway before it, answered that it failed."""

    code = "RS044"


class ServerSilent(RoadsteadError):
    """A model server, or the gateway before it, gave no answer."""

    code = "RS039"
    exit_code = Exit.UNREACHABLE


class LoadFailed(RoadsteadError):
    """Under load, requests got no answer or a wrong one."""

    code = "RS046"


class NotReached(RoadsteadError):
    """Everything is as asked, and clients cannot use the address of a deployment."""

    code = "RS049"
    exit_code = Exit.UNREACHABLE


class Refused(RoadsteadError):
    """The daemon refused; ``told`` is its own code, ``exits`` what a command ends with for it."""

    code = "RS045"

    def __init__(self, message: str, *, told: str, exits: Exit = Exit.ERROR, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.told = told
        self.exits = exits
