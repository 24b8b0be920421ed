"""Writes what is made from the description of the keys: ``python -m roadstead.config.publish SCHEMA PAGE``.

With the plugins that this distribution brings, and no others, so that the published files are the same everywhere.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import distribution
from pathlib import Path

from roadstead.config.page import fleet_page
from roadstead.config.schema import fleet_schema
from roadstead.spi.host import PluginHost

__all__ = ["main", "published_page", "published_schema"]


def _host() -> PluginHost:
    return PluginHost.installed([distribution("roadstead")])


def published_schema() -> str:
    """Return the text of ``configs/fleet.schema.json``."""
    return json.dumps(fleet_schema(_host()), indent=2, ensure_ascii=False) + "\n"


def published_page() -> str:
    """Return the text of ``docs/reference/fleet-file.md``."""
    return fleet_page(_host())


def main(arguments: list[str]) -> None:
    """Write both files to the paths in ``arguments``."""
    schema, page = map(Path, arguments)
    schema.write_text(published_schema(), encoding="utf-8")
    page.write_text(published_page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
