"""Addresses, and the wires between machines.

A cluster has a block of 4,096 addresses out of 198.18.0.0/15: half of it for pods, a quarter for Services, 256 for the
machines. The machines are on one bridge of the router's, and the machine that the tests run on is on it, too.
"""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Network
from typing import Final

import attrs

from tests.cluster.machine import Machine

__all__ = ["BLOCKS", "MOST_NODES", "Addresses", "connect_node", "connect_router", "disconnect"]

BLOCKS: Final = 32
"""How many clusters one machine can have at a time."""

MOST_NODES: Final = 7
"""How many nodes a cluster can have."""

_ALL: Final = IPv4Network("198.18.0.0/15")
_BLOCK: Final = 4096
_BRIDGE: Final = "machines"
_BRIDGE_ADDRESS: Final = "02:00:00:00:00:01"
"""On the wire; a bridge that was given none takes the lowest of its ports' addresses, and another when that port goes:
whoever remembers the old one then does not reach the router for half a minute."""
_IP: Final = shutil.which("ip") or "ip"


@attrs.frozen
class Addresses:
    """Those of one cluster, by its number; nodes are counted from 1."""

    number: int = attrs.field(validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.lt(BLOCKS)))

    @property
    def block(self) -> IPv4Network:
        """All of them."""
        return IPv4Network((int(_ALL.network_address) + self.number * _BLOCK, 20))

    @property
    def pods(self) -> IPv4Network:
        """Those of all pods."""
        return next(self.block.subnets(new_prefix=21))

    @property
    def services(self) -> IPv4Network:
        """The ClusterIPs."""
        return list(self.block.subnets(new_prefix=22))[2]

    @property
    def machines(self) -> IPv4Network:
        """Those of the router, the nodes and the machine that the tests run on."""
        return list(self.block.subnets(new_prefix=24))[12]

    @property
    def router(self) -> IPv4Address:
        """The router's, where the API server is."""
        return self.machines[1]

    @property
    def outside(self) -> IPv4Address:
        """That of the machine that the tests run on."""
        return self.machines[254]

    def node(self, index: int) -> IPv4Address:
        """Return that of a node."""
        return self.machines[10 + index]

    def pods_of(self, index: int) -> IPv4Network:
        """Return those of a node's pods."""
        return list(self.pods.subnets(new_prefix=24))[index]

    @property
    def device(self) -> str:
        """The interface outside."""
        return f"roadstead{self.number}"


def connect_router(router: Machine, addresses: Addresses) -> None:
    """Give the router its bridge, and wire the machine that the tests run on to it."""
    router.network(f"link add {_BRIDGE} address {_BRIDGE_ADDRESS} type bridge", f"link set {_BRIDGE} up")
    router.network(f"address add {addresses.router}/24 dev {_BRIDGE}")
    # What it forwards leaves by the interface that it came in by; nobody needs to be told of a shorter way.
    _set(router, "net/ipv4/ip_forward", "1")
    _set(router, "net/ipv4/conf/all/send_redirects", "0")
    _set(router, f"net/ipv4/conf/{_BRIDGE}/send_redirects", "0")
    device = addresses.device
    _outside(
        f"link add {device} type veth peer name outside netns {router.init_pid}",
        f"address add {addresses.outside}/24 dev {device}",
        f"link set {device} up",
        f"route add {addresses.block} via {addresses.router} dev {device}",
    )
    router.network(f"link set outside master {_BRIDGE}", "link set outside up")


def connect_node(router: Machine, node: Machine, addresses: Addresses, index: int) -> None:
    """Wire a node to the router's bridge, and let the router know where its pods are."""
    port = port_of(index)
    router.network(
        f"link add {port} type veth peer name eth0 netns {node.init_pid}",
        f"link set {port} master {_BRIDGE}",
        f"link set {port} up",
        f"route replace {addresses.pods_of(index)} via {addresses.node(index)}",
    )
    node.network(
        f"address add {addresses.node(index)}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {addresses.router}",
    )
    _set(node, "net/ipv4/ip_forward", "1")


def port_of(index: int) -> str:
    """Return what the router's end of a node's wire is called."""
    return f"node{index}"


def disconnect(addresses: Addresses) -> None:
    """Take away the interface outside, with its route, if it is there."""
    subprocess.run([_IP, "link", "delete", addresses.device], capture_output=True, check=False)


def _outside(*commands: str) -> None:
    subprocess.run([_IP, "-batch", "-"], input="\n".join(commands) + "\n", text=True, capture_output=True, check=True)


def _set(machine: Machine, name: str, value: str) -> None:
    """Set a setting of a machine's network; those are each network namespace's own."""
    machine.run("sh", "-c", f"echo {value} > /proc/sys/{name}")
