"""What our apps are called on a Marathon, and the labels by which they are found. Pure.

Everything is written when an app is created and never again: a changed label restarts every task of its app.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from roadstead.spi.backend import GroupOrder
from roadstead.world import GroupKey

__all__ = [
    "DEPLOYMENT",
    "FLEET",
    "GENERATION",
    "OWNER",
    "OWNER_ID",
    "PREFIX",
    "RENDERING",
    "REVISION",
    "TEMPLATE",
    "app_id",
    "fleet_path",
    "group_labels",
    "is_path",
    "key_of",
    "selector",
]

PREFIX: Final = "roadstead.dev/"
FLEET: Final = "roadstead.dev/fleet"
OWNER_ID: Final = "roadstead.dev/owner-id"
DEPLOYMENT: Final = "roadstead.dev/deployment"
REVISION: Final = "roadstead.dev/revision"
OWNER: Final = "roadstead.dev/owner"
GENERATION: Final = "roadstead.dev/generation"
TEMPLATE: Final = "roadstead.dev/template"
RENDERING: Final = "roadstead.dev/rendering"

_SEGMENT: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
_PATH: Final = re.compile(rf"/|(/{_SEGMENT})+")
_NOT_PLAIN: Final = re.compile(r"([^-A-Za-z0-9_])")


def is_path(text: str) -> bool:
    """Return whether Marathon takes this for an absolute path of a group.

    >>> is_path("/models/prod"), is_path("models"), is_path("/Models"), is_path("/")
    (True, False, False, True)
    """
    return bool(_PATH.fullmatch(text))


def fleet_path(path: str, fleet: str) -> str:
    """Return the group that all apps of a fleet are in.

    >>> fleet_path("/", "shop"), fleet_path("/models", "shop")
    ('/shop', '/models/shop')
    """
    return f"{path.rstrip('/')}/{fleet}"


def app_id(path: str, fleet: str, key: GroupKey) -> str:
    """Return what the app of a group is called.

    >>> app_id("/models", "shop", GroupKey("minilm", "abcdefghij"))
    '/models/shop/minilm/abcdefghij'
    """
    return f"{fleet_path(path, fleet)}/{key.deployment}/{key.revision}"


def group_labels(order: GroupOrder) -> dict[str, str]:
    """Return the labels that say whose an app is and which group it is."""
    return {
        FLEET: order.fleet,
        OWNER_ID: order.owner_id,
        DEPLOYMENT: order.key.deployment,
        REVISION: order.key.revision,
        OWNER: order.owner,
        GENERATION: str(order.generation),
    }


def key_of(labels: Mapping[str, str]) -> GroupKey | None:
    """Return the group that an app with these labels is; ``None`` for one that is no group."""
    deployment, revision = labels.get(DEPLOYMENT), labels.get(REVISION)
    return GroupKey(deployment, revision) if deployment and revision else None


def selector(fleet: str) -> str:
    r"""Return the label selector that finds the apps of a fleet, whoever's they are.

    >>> print(selector("shop"))
    roadstead\.dev\/fleet==shop
    """
    name, value = (_NOT_PLAIN.sub(r"\\\1", word) for word in (FLEET, fleet))
    return f"{name}=={value}"
