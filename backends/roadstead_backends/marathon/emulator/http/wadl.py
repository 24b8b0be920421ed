"""The description that Jersey answers to OPTIONS: a WADL document of the resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from roadstead_backends.marathon.emulator.http.routing import Method, Param, Route

__all__ = ["allowed", "wadl"]

_SCHEMA: Final = 'xmlns:xs="http://www.w3.org/2001/XMLSchema"'
_ALLOW_ORDER: Final = ("HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH")


def allowed(route: Route) -> str:
    """The methods of a resource, in the order of the original's header."""
    verbs = {method.verb for method in route.methods} | {"OPTIONS"}
    if "GET" in verbs:
        verbs.add("HEAD")
    return ",".join(verb for verb in _ALLOW_ORDER if verb in verbs)


Below = Callable[[Route], Sequence[Route]]


def wadl(base: str, path: str, route: Route, below: Below) -> str:
    """The document for one resource and the resources inside it, which ``below`` tells."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        '<application xmlns="http://wadl.dev.java.net/2009/02">',
        '    <doc xmlns:jersey="http://jersey.java.net/" jersey:generatedBy="Jersey: 2.27 2018-04-10 07:34:57"/>',
        "    <grammars/>",
        f'    <resources base="{base}">',
        f'        <resource path="{escape(path.lstrip("/"))}">',
        *_methods(route.methods, 12),
        *_inside(route, below, 12),
        "        </resource>",
        "    </resources>",
        "</application>",
        "",
    ]
    return "\n".join(lines)


def _inside(route: Route, below: Below, indent: int) -> Iterator[str]:
    space = " " * indent
    for each in below(route):
        yield f'{space}<resource path="{escape(each.template.removeprefix(route.template + "/"))}">'
        yield from (f"{space}    {_template(name)}" for name in _names(each))
        yield from _methods(each.methods, indent + 4)
        yield from _inside(each, below, indent + 4)
        yield f"{space}</resource>"


def _names(route: Route) -> Sequence[str]:
    # Jersey has them in the order of a hash, and these are all that it has.
    return sorted(route.names, key=lambda name: name == "id") if "instanceId" in route.names else route.names


def _methods(methods: Sequence[Method], indent: int) -> Iterator[str]:
    space = " " * indent
    for method in methods:
        yield f'{space}<method id="{method.name}" name="{method.verb}">'
        if method.described is not None:
            yield f"{space}    <response>"
            yield f'{space}        <representation mediaType="{method.described}"/>'
            yield f"{space}    </response>"
        else:
            yield f"{space}    <request>"
            yield from (f"{space}        {_query(param)}" for param in method.query)
            yield f'{space}        <param {_SCHEMA} name="javax.ws.rs.container.Suspended" type="xs:string"/>'
            if method.consumes_json:
                yield f'{space}        <representation mediaType="application/json"/>'
            yield f"{space}    </request>"
        yield f"{space}</method>"


def _query(param: Param) -> str:
    if param.default is None:
        return f'<param {_SCHEMA} name="{param.name}" style="query" type="xs:string"/>'
    return f'<param {_SCHEMA} name="{param.name}" style="query" type="xs:boolean" default="{param.default}"/>'


def _template(name: str) -> str:
    return f'<param {_SCHEMA} name="{name}" style="template" type="xs:string"/>'
