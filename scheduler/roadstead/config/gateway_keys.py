"""The keys of a gateway, and what a deployment says of the gateway that its clients connect to."""

from __future__ import annotations

import ipaddress
from typing import Final

from roadstead.config.entries import GatewayEntry, PortRange, ViaEntry
from roadstead.config.plugins import Gateways
from roadstead.config.problems import ProblemCode
from roadstead.config.shapes import ByKind, Key, Maybe, Options, Refused, Table, Text, Whole, table
from roadstead.config.source import shown
from roadstead.config.texts import FILE_PATH
from roadstead.model import Tls

__all__ = ["VIA", "gateway_table"]

_FIRST_PORT: Final = 1024  # those below are for root alone
_LAST_PORT: Final = 65535


def _ports(text: str) -> PortRange:
    first, _, last = text.partition("-")
    ports = PortRange(int(first), int(last))
    for port in (ports.first, ports.last):
        if not _FIRST_PORT <= port <= _LAST_PORT:
            what = f"port {port} is out of range"
            raise Refused(what, f"write ports from {_FIRST_PORT} to {_LAST_PORT}", ProblemCode.RANGE)
    if ports.first > ports.last:
        raise Refused(f"the range {text} ends before it starts", f"write {ports.last}-{ports.first}", ProblemCode.RANGE)
    return ports


def _ip_address(text: str) -> str:
    """Return an IP address to listen on, in the one way in which it is usually written."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        hint = "write 127.0.0.1" if text == "localhost" else "write one of this machine's, such as 127.0.0.1 or ::1"
        host, colon, port = text.rpartition(":")
        if colon and port.isdigit():
            hint = f"write {host.strip('[]')} alone: ports stand under `ports`"
        raise Refused(f"{shown(text)} is no IP address", hint) from error
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id or address.ipv4_mapped):
        plain = address.ipv4_mapped or text.partition("%")[0]
        raise Refused(f"{shown(text)} is more than an address", f"write {plain}")
    if address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
        raise Refused(f"{text} is not the address of one machine", "write one of this machine's, such as 127.0.0.1")
    return str(address)


_PORTS: Final = Text(
    noun="a range of ports",
    pattern="[0-9]{1,9}-[0-9]{1,9}",
    rule=f"FIRST-LAST, such as 18000-18099, from {_FIRST_PORT} to {_LAST_PORT}",
    parse=_ports,
    most=64,
)
_TLS: Final = table(
    Tls,
    "tls",
    Key(name="certificate", shape=FILE_PATH, doc="the file of the certificate chain, PEM, relative to the fleet file"),
    Key(name="key", shape=FILE_PATH, doc="the file of the private key, PEM, relative to the fleet file"),
)

VIA: Final = ByKind(
    noun="the name of a gateway (or a mapping with name and port)",
    text=Text(noun="the name of a gateway"),
    entries=table(
        ViaEntry,
        "a deployment's gateway",
        Key(
            name="name",
            shape=Maybe(Text(noun="the name of a gateway")),
            doc="which gateway",
            default_doc="the only gateway declared",
        ),
        Key(
            name="port",
            shape=Maybe(Whole(noun="a port", least=1, most=_LAST_PORT)),
            doc="the port that clients connect to, in the gateway's range or not",
            default_doc="a free one of the gateway's range, and always the same",
        ),
    ),
)


def gateway_table(known: Gateways) -> Table:
    """Return the keys of a gateway, with the kinds that are installed."""
    return table(
        GatewayEntry,
        "a gateway",
        Key(name="kind", shape=known.kind, doc="the plugin that drives it", required=True),
        Key(
            name="address",
            shape=Text(noun="an IP address", parse=_ip_address, most=64),
            doc="the IP address that it listens on; anything but a loopback address needs `tls`",
        ),
        Key(
            name="ports",
            shape=_PORTS,
            doc="deployments without a port of their own get one from here, and keep it",
        ),
        Key(name="tls", shape=Maybe(_TLS), doc="what clients speak TLS with; null: no TLS"),
        Key(
            name="options",
            shape=Options(by="kind", tables=known.options),
            doc="what only this kind of gateway has to know",
            default_doc=" ",
        ),
    )
