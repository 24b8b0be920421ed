"""What a load is made of, read from files: requests, and the answers that are right."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roadstead.cli.commands.predict import body_of
from roadstead.cli.errors import BadInput

__all__ = ["expected_in", "requests_in"]


def requests_in(file: Path) -> tuple[Mapping[str, Any], ...]:
    """Return the requests of a file, one for each line that is not empty, in any form that ``predict`` takes.

    Raises :class:`BadInput`.
    """
    found = tuple(_request(place, line) for place, line in _lines(file))
    if not found:
        raise BadInput(f"{file} has no request in it", hint="one on each line; `roadstead predict --help`")
    return found


def _request(place: str, line: str) -> Mapping[str, Any]:
    try:
        return body_of(line, None)
    except BadInput as error:
        raise BadInput(f"{place}: {error}", hint=error.hint) from error


def expected_in(file: Path, requests: int) -> tuple[Mapping[int, Any], ...]:
    """Return the answers of a file by version, one line for each request; raises :class:`BadInput`."""
    found = tuple(_answers(place, line) for place, line in _lines(file))
    if len(found) != requests:
        raise BadInput(
            f"{file} has answers to {len(found)} requests, and there are {requests}",
            hint="a line for each request, in the same order",
        )
    return found


def _answers(place: str, line: str) -> Mapping[int, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise BadInput(f"{place}: this is no JSON: {error}", hint=_FORM) from error
    if not isinstance(found, dict) or not found or not all(version.isdecimal() for version in found):
        raise BadInput(f"{place}: this is no object with versions as keys", hint=_FORM)
    return {int(version): answer for version, answer in found.items()}


_FORM = 'such as {"1": {"outputs": [[0.5]]}, "2": {"outputs": [[0.7]]}}, each as `roadstead predict` prints it'


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is no text in UTF-8: {error}", hint="is it the file that was meant?") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{file}:{number}", line
