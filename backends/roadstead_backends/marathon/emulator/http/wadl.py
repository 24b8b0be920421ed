"""The description that Jersey answers to OPTIONS: a WADL document of the resource."""

from __future__ import annotations

from collections.abc import Sequence
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


def wadl(base: str, path: str, route: Route, inner: Sequence[Route]) -> str:
    """The document for one resource and the resources inside it."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>',
        '<application xmlns="http://wadl.dev.java.net/2009/02">',
        '    <doc xmlns:jersey="http://jersey.java.net/" jersey:generatedBy="Jersey: 2.27 2018-04-10 07:34:57"/>',
        "    <grammars/>",
        f'    <resources base="{base}">',
        f'        <resource path="{escape(path.lstrip("/"))}">',
        *_methods(route.methods, 12),
    ]
    for each in inner:
        lines += [
            f'            <resource path="{escape(each.template.removeprefix(route.template + "/"))}">',
            *(f"{' ' * 16}{_template(name)}" for name in _names(each.template)),
            *_methods(each.methods, 16),
            "            </resource>",
        ]
    return "\n".join([*lines, "        </resource>", "    </resources>", "</application>", ""])


def _methods(methods: Sequence[Method], indent: int) -> list[str]:
    lines: list[str] = []
    for method in methods:
        space = " " * indent
        lines += [f'{space}<method id="{method.name}" name="{method.verb}">', f"{space}    <request>"]
        lines += [f"{space}        {_query(param)}" for param in method.query]
        lines.append(f'{space}        <param {_SCHEMA} name="javax.ws.rs.container.Suspended" type="xs:string"/>')
        if method.consumes_json and method.verb in ("POST", "PUT", "PATCH"):
            lines.append(f'{space}        <representation mediaType="application/json"/>')
        lines += [f"{space}    </request>", f"{space}</method>"]
    return lines


def _query(param: Param) -> str:
    if param.default is None:
        return f'<param {_SCHEMA} name="{param.name}" style="query" type="xs:string"/>'
    return f'<param {_SCHEMA} name="{param.name}" style="query" type="xs:boolean" default="{param.default}"/>'


def _template(name: str) -> str:
    return f'<param {_SCHEMA} name="{name}" style="template" type="xs:string"/>'


def _names(template: str) -> list[str]:
    return [part.partition(":")[0] for part in template.replace("}", "{").split("{")[1::2]]
