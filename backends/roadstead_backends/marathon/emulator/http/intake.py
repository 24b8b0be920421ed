"""Bodies of requests: JSON, and of the type that was asked for."""

from __future__ import annotations

from typing import Any, Final

from roadstead_backends.marathon.emulator.documents.json_text import NoContent, NotJson, TooLarge, parsed
from roadstead_backends.marathon.emulator.documents.reading import Reader, Unreadable, details
from roadstead_backends.marathon.emulator.refusals import Refusal, illegal, invalid_json
from roadstead_backends.marathon.emulator.settings import Profile

__all__ = ["json_of", "known", "typed"]

_NESTED: Final = frozenset({"apps", "groups", "pods", "containers"})


def json_of(body: bytes) -> Any:
    """The JSON of a body; refuse what is none."""
    try:
        return parsed(body)
    except NoContent as error:
        raise Refusal(400, {"message": "Please specify data in JSON format", "details": str(error)}) from error
    except NotJson as error:
        raise Refusal(400, {"message": "Invalid JSON", "details": str(error)}) from error
    except TooLarge as error:
        raise illegal(str(error)) from error


def known(value: Any, profile: Profile) -> Any:
    """The JSON without the fields that its version has not yet, which it overlooks as all that it does not know."""
    return _without(value, profile.lacks) if profile.lacks else value


def _without(value: Any, new: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_without(item, new) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item for key, item in value.items() if key not in new}
    return {key: _without(item, new) if key in _NESTED else item for key, item in kept.items()}


def typed(value: Any, read: Reader) -> Any:
    """The value as ``read`` takes it; refuse what it cannot read."""
    found = read(value)
    if isinstance(found, Unreadable):
        raise invalid_json(details(found))
    return found
