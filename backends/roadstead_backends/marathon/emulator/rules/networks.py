"""Networks: what combinations are allowed, and how the older ways of asking for one are translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from roadstead_backends.marathon.emulator.refusals import Refusal, Violations
from roadstead_backends.marathon.emulator.rules.documents import Document, modes

__all__ = ["NAME_OF_SEVERAL", "check_networks", "named", "require_names", "translated"]

NAME_OF_SEVERAL: Final = (
    "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined"
)
_OLD: Final = {"HOST": "host", "BRIDGE": "container/bridge", "USER": "container"}


def check_networks(networks: Sequence[Document], default_name: str | None, found: Violations) -> None:
    """Note what is wrong with the networks of an app or pod, under ``/networks``."""
    by_mode = modes(networks)
    host, bridge, container = (by_mode.count(mode) for mode in ("host", "container/bridge", "container"))
    names = [network["name"] for network in networks if network.get("name")]
    unnamed = sum(1 for network in networks if network["mode"] == "container" and not network.get("name"))
    found.check(
        not any(n["mode"] == "host" and (n.get("name") or n.get("labels")) for n in networks),
        "/networks",
        "Host networks may not have names or labels",
    )
    found.check(
        not any(n["mode"] == "container/bridge" and n.get("name") for n in networks),
        "/networks",
        "Bridge networks may not have names",
    )
    found.check(len(set(names)) == len(names) and unnamed < 2, "/networks", "Duplicate networks are not allowed")
    alone = (host <= 1 and not bridge and not container) or (bridge <= 1 and not host and not container)
    found.check(
        alone or (container > 0 and not host and not bridge),
        "/networks",
        "May specify a single host network, single bridge network, or else 1-to-n container networks",
    )
    found.check(
        not unnamed or default_name is not None,
        "/networks",
        "Network name must be specified when container network is selected.",
    )


def named(networks: Sequence[Document], default_name: str | None) -> list[Document]:
    """The networks, with the default name where a container network has none."""
    return [
        {"name": default_name, **network} if network["mode"] == "container" and not network.get("name") else network
        for network in networks
    ]


def require_names(networks: Sequence[Document]) -> None:
    """Refuse a container network that has no name although the default one was filled in."""
    if any(network["mode"] == "container" and not network.get("name") for network in networks):
        raise Refusal(500, {"message": "container network name is not defined"})


def translated(app: Document, bridge: str) -> list[Document] | None:
    """The networks that an app asks for: by ``networks``, or by the older ``ipAddress`` and ``docker.network``.

    ``bridge`` is the name under which an address of its own is one on the bridge.
    """
    address: Document | None = app.get("ipAddress")
    old = ((app.get("container") or {}).get("docker") or {}).get("network")
    networks: list[Document] | None = app.get("networks")
    if networks is not None:
        if address is not None or old is not None:
            raise Refusal(500, {"message": "cannot mix deprecated and canonical network APIs"})
        return networks
    if old is not None and old not in _OLD:
        raise Refusal(500, {"message": f"unsupported docker network type {old}"})
    if address is None and old is None:
        return None
    name = (address or {}).get("networkName")
    by_name = "container/bridge" if name == bridge else "container"
    network: dict[str, Any] = {"mode": _OLD[old] if old is not None else by_name}
    if network["mode"] == "container" and name is not None:
        network["name"] = name
    labels = (address or {}).get("labels", {})
    if network["mode"] == "host":
        return [network]
    return [{**network, "labels": labels}]
