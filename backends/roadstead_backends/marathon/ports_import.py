"""Which ports of a foreign app its server listens on: gRPC's and REST's. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

import attrs

from roadstead.spi.fields import Fields

__all__ = ["Port", "Ports", "ports_of"]

Json = dict[str, Any]

_VARIABLE: Final = re.compile(r"\$PORT(?:(?P<index>\d+)|_(?P<name>[A-Z0-9_]+))?")
_NOT_IN_A_VARIABLE: Final = re.compile(r"[^A-Z0-9_]")
_STOCK: Final = ("8500", "8501")
_DETAIL: Final = "the runtime's own ports, which are called grpc and rest"


@attrs.frozen(kw_only=True)
class Port:
    """A port of an app: its place among the app's, and what it is within a network of the task's own, if it has one."""

    index: int
    container: int | None = None


@attrs.frozen(kw_only=True)
class Ports:
    """Where a server answers; ``None`` where it does not, or where that is no port that the app declares."""

    grpc: Port | None = None
    rest: Port | None = None


def ports_of(fields: Fields, grpc: str | None, rest: str | None, *, stock: bool) -> Ports:
    """Return which of an app's ports are those that its server is told; a ``stock`` image has ports without a word."""
    listed, at = _listed(fields)
    said = (grpc or _STOCK[0], rest or (_STOCK[1] if stock else ""))
    found = [_port(text, listed, contained=at[0] == "container") for text in said]
    for index in range(len(listed)):
        _note(fields, (*at, index))
    return Ports(grpc=found[0], rest=found[1])


def _listed(fields: Fields) -> tuple[list[Json], tuple[str, ...]]:
    """Return an app's ports as Marathon says them, now or in versions before."""
    for at in (("container", "portMappings"), ("container", "docker", "portMappings"), ("portDefinitions",)):
        found = fields.get(*at)
        if found:
            return list(found), at
    return [{"port": port} for port in fields.get("ports") or ()], ("ports",)


def _port(text: str, listed: list[Json], *, contained: bool) -> Port | None:
    if not text or text == "0":
        return None
    variable = _VARIABLE.fullmatch(text)
    for index, one in enumerate(listed):
        is_this = _is_named(variable, index, one) if variable is not None else _is_number(text, one)
        if is_this:
            inside = one.get("containerPort") if contained else None
            return Port(index=index, container=inside or None)
    return None


def _is_named(variable: re.Match[str], index: int, port: Json) -> bool:
    if variable["name"] is not None:
        numbers = {str(port.get("port")), str(port.get("containerPort"))}
        name = _NOT_IN_A_VARIABLE.sub("_", str(port.get("name", "")).upper())
        return variable["name"] in (name, *numbers)
    return index == int(variable["index"] or 0)


def _is_number(text: str, port: Json) -> bool:
    return text in (str(port.get("containerPort")), str(port.get("port")))


def _note(fields: Fields, at: tuple[str | int, ...]) -> None:
    """Note what becomes of a port: that there is one is kept, what else is tied to it is not."""
    if not isinstance(fields.get(*at), dict):
        fields.change(*at, key="runtime", detail=_DETAIL)
        return
    for key in fields.get(*at):
        where = (*at, key)
        if key == "servicePort":
            fields.lose(*where, detail="a gateway gives an address: see `via`")
        elif key == "labels":
            fields.lose(*where, detail="virtual addresses are DC/OS'; a gateway gives an address: see `via`")
        elif key == "hostPort" and fields.get(*where):
            fields.lose(*where, detail="agents choose a port")
        else:
            fields.change(*where, key="runtime", detail=_DETAIL)
