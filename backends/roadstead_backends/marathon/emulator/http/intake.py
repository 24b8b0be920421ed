"""Bodies of requests: JSON, and of the type that was asked for."""

from __future__ import annotations

from typing import Any

from roadstead_backends.marathon.emulator.documents.json_text import NoContent, NotJson, parsed
from roadstead_backends.marathon.emulator.documents.reading import Reader, Unreadable, details
from roadstead_backends.marathon.emulator.refusals import Refusal, invalid_json

__all__ = ["json_of", "typed"]


def json_of(body: bytes) -> Any:
    """The JSON of a body; refuse what is none."""
    try:
        return parsed(body)
    except NoContent as error:
        raise Refusal(400, {"message": "Please specify data in JSON format", "details": str(error)}) from error
    except NotJson as error:
        raise Refusal(400, {"message": "Invalid JSON", "details": str(error)}) from error


def typed(value: Any, read: Reader) -> Any:
    """The value as ``read`` takes it; refuse what it cannot read."""
    found = read(value)
    if isinstance(found, Unreadable):
        raise invalid_json(details(found))
    return found
