"""The reference page of the fleet file, made from the description of its keys: one table of keys for each mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from roadstead.config.fleet import MAX_BYTES
from roadstead.config.keys import MAX_DEPLOYMENTS, fleet_table
from roadstead.config.nodes import MAX_DEPTH, MAX_VALUES
from roadstead.config.problems import MAX_PROBLEMS
from roadstead.config.shapes import (
    ABSENT,
    ByKind,
    Forms,
    Key,
    Later,
    ListOf,
    Maybe,
    Named,
    Options,
    Shape,
    Table,
)
from roadstead.config.wording import default_value, described
from roadstead.spi.host import PluginHost

__all__ = ["fleet_page", "key_tables"]

_INTRODUCTION: Final = f"""\
# The fleet file

Every key of a fleet file. This page is generated (`python -m roadstead.config.publish`): change the descriptions in
`roadstead.config.keys`, not the page. The options of backends are those of the plugins that Roadstead brings.

`roadstead validate` reads a fleet file and lists everything that is wrong with it, each problem with its line, a hint
and a code (`roadstead explain CODE`). An editor that knows YAML schemas completes keys and shows what they mean, if
the first line of the file is

```yaml
# yaml-language-server: $schema=PATH/fleet.schema.json
```

## What of YAML there is

Mappings, lists, plain and quoted text, block text, comments, and aliases (`*name`) of anchors (`&name`) for whole
values. Not: merge keys (`<<`), tags (`!!str`), directives (`%YAML`), several documents, keys that are no text. What
deployments share stands under `defaults`.

Spellings that YAML readers disagree on (`on`, `yes`, `010`, `1:30`, `1e3`, dates) are refused where they stand without
quotes: put text in quotes, write numbers in decimal, write `true` or `false`. Text is never made of a number: `PORT:
"8080"`.

The file is UTF-8, with or without a byte order mark. Limits: {MAX_BYTES // 1024**2} MiB, {MAX_DEPTH} levels,
{MAX_VALUES:,} values (each use of an alias counts all that it stands for), {MAX_DEPLOYMENTS:,} deployments. After
{MAX_PROBLEMS} problems reading stops.

Paths are relative to the folder of the fleet file. `~` is not expanded, because the daemon may have another home, and
nothing is filled in: a path with `$NAME` or `${{NAME}}` in it is refused, and so is one of Windows.

## Defaults

`defaults` may have any key of a deployment. They merge under each deployment key by key: mappings merge, and a
deployment's own value wins. Lists, `resources.gpu` and `health.canary` are replaced as a whole, and so is
`model.source`, unless both are mappings. `null` is a value like any other: it replaces.

## Revisions

A key marked ↻ is part of what a running replica embodies: changing it makes a new revision, which is rolled out.
Changing any other key restarts nothing. The order of variables, secrets and constraints, of a constraint's values and
of GPU models means nothing, and changing it changes nothing.
"""


def fleet_page(host: PluginHost) -> str:
    """Return the page, in Markdown, with the plugins of ``host``."""
    return f"{_INTRODUCTION}\n{key_tables(fleet_table(host))}"


def key_tables(table: Table) -> str:
    """Return the sections of a table of keys, and of all that are below it, in Markdown."""
    return "\n".join(_tables("", table, set())).rstrip() + "\n"


def _tables(path: str, table: Table, done: set[str]) -> Iterator[str]:
    """Yield the section of a table, then those of the tables below it."""
    if table.shared in done:
        return
    if table.shared:
        done.add(table.shared)
        path = "deployments.DEPLOYMENT"
    yield f"## `{path}`\n" if path else "## The file\n"
    yield "| key | what it may be | default | meaning |"
    yield "|---|---|---|---|"
    for key in table.keys:
        yield _row(key)
    yield ""
    for key in table.keys:
        yield from _below(f"{path}.{key.name}" if path else key.name, key.shape, done)


def _below(path: str, shape: Shape, done: set[str]) -> Iterator[str]:
    """Yield the sections of the tables that are in ``shape``."""
    if isinstance(shape, Table):
        yield from _tables(path, shape, done) if shape.keys else ()
    for below, inside in _inside(path, shape):
        yield from _below(below, inside, done)


def _inside(path: str, shape: Shape) -> list[tuple[str, Shape]]:
    """Return what ``shape`` is made of, each with the path that it is shown under."""
    match shape:
        case Maybe():
            return [(path, shape.shape)]
        case Named():
            return [(f"{path}.{shape.label}", shape.item)]
        case ListOf():
            return [(f"{path}[]", shape.item)]
        case ByKind():
            return [(path, one) for one in shape.shapes]
        case Forms():
            return [(f"{path} with {form.marker}", form.table) for form in shape.forms]
        case Options():
            return [(f"{path} of {name}", table) for name, table in shape.tables.items()]
        case _:
            return []


def _row(key: Key) -> str:
    meaning = "; ".join(part for part in (key.doc, f"{key.unbuilt}: only the default" if key.unbuilt else "") if part)
    revision = " ↻" if key.revises else ""
    cells = (f"`{key.name}`{revision}", described(key.shape), _default(key), meaning or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(key: Key) -> str:
    if key.required:
        return "**required**"
    if key.default_doc:
        return key.default_doc.strip()
    if isinstance(key.shape, Later) or key.default is ABSENT:
        return ""
    default = default_value(key.default)
    if default is ABSENT:
        return "see below"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"
