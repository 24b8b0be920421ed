"""Lengths of time on the command line."""

from __future__ import annotations

from typing import Any

import click

from roadstead.cli.errors import NotUnderstood
from roadstead.units import Duration, UnitError

__all__ = ["Length"]


class Length(click.ParamType[int]):
    """A duration as in the fleet file; its value is in milliseconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ARG002
        """Return the milliseconds."""
        if isinstance(value, int):
            return value
        try:
            return Duration.parse(value).ms
        except UnitError as error:
            flag = f"{param.opts[0]}: " if param is not None else ""
            raise NotUnderstood(f"{flag}{error}", hint=error.hint) from error
