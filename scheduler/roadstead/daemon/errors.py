"""What the daemon can refuse, besides what the parts below report themselves."""

from __future__ import annotations

from roadstead.errors import RoadsteadError

__all__ = [
    "AlreadyThere",
    "BadRequest",
    "CannotListen",
    "CannotRunThere",
    "ClusterNotActive",
    "DidNotStart",
    "NoRollout",
    "NotNow",
    "NotPaused",
    "NothingToUndo",
    "OtherFleet",
    "StartFailed",
    "Unknown",
    "UnknownCluster",
    "UnknownRevision",
]


class CannotListen(RoadsteadError):
    """An address of the daemon cannot be used."""

    code = "RS050"


class NotNow(RoadsteadError):
    """The daemon has just started, or is about to end."""

    code = "RS051"
    exit_code = 69


class Unknown(RoadsteadError):
    """There is no deployment, replica or path of that name."""

    code = "RS052"


class OtherFleet(RoadsteadError):
    """The file now names another fleet than the one that the daemon runs."""

    code = "RS053"
    exit_code = 65


class BadRequest(RoadsteadError):
    """A request that is not of the control API."""

    code = "RS054"
    exit_code = 64


class NoRollout(RoadsteadError):
    """There is no rollout to pause, or none to vouch for."""

    code = "RS060"


class NotPaused(RoadsteadError):
    """A rollout is to be resumed that is not paused."""

    code = "RS061"


class NothingToUndo(RoadsteadError):
    """There is nothing to go back to, or nothing to come back from."""

    code = "RS062"


class UnknownRevision(RoadsteadError):
    """A revision or version is named that is in no history."""

    code = "RS063"


class UnknownCluster(RoadsteadError):
    """A deployment is to move to a cluster that the fleet has not."""

    code = "RS070"


class ClusterNotActive(RoadsteadError):
    """A deployment is to move to a cluster that is moved away from, or not touched."""

    code = "RS071"


class CannotRunThere(RoadsteadError):
    """A deployment is to move to a cluster that cannot run it, or of which that is not known."""

    code = "RS072"


class AlreadyThere(RoadsteadError):
    """A deployment is to move to where it is to run anyway, or back from where no command sent it."""

    code = "RS073"


class DidNotStart(RoadsteadError):
    """A daemon that was started in the background ended before it answered."""

    code = "RS055"


class StartFailed(RoadsteadError):
    """A daemon in the background said why it did not start; ``told`` is its code, ``exits`` its exit code."""

    code = "RS056"

    def __init__(self, message: str, *, told: str, exits: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.told = told
        self.exits = exits
