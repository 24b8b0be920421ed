"""Rules of the roles whose resources an app or pod accepts (``ResourceRole``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from roadstead_backends.marathon.emulator.refusals import Violations

__all__ = ["check_accepted_roles"]

_PATH: Final = "/acceptedResourceRoles"
_NO_NAMES: Final = ("", ".", "..")
_NO_CHARACTERS: Final[Mapping[str, str]] = {
    "\t": r"horizontal tab (\x09)",
    "\n": r"line feed (\x0a)",
    "\v": r"vertical tab (\x0b)",
    "\f": r"form feed (\x0c)",
    "\r": r"carriage return (\x0d)",
    " ": r"space (\x20)",
    "/": r"slash (\x2f)",
    "\x7f": r"backspace (\x7f)",
}


def check_accepted_roles(roles: Sequence[str], found: Violations, *, of: str, resident: bool) -> None:
    """Note an empty list, names that no role has, and what is not ``*`` where volumes tie to agents.

    ``of`` is ``app`` or ``pod``. Which of the roles it is, is not told: the original has a set of them.
    """
    found.check(bool(roles), _PATH, "must not be empty")
    for role in roles:
        if role in _NO_NAMES:
            found.add(_PATH, f'A role name must not be "{role}".')
        found.check(not role.startswith("-"), _PATH, "A role name must not start with a '-'.")
        for place, character in enumerate(role):
            if character in _NO_CHARACTERS:
                message = f"A role name must not include a {_NO_CHARACTERS[character]} character."
                found.add(f"{_PATH}({place})", message)
    only = not resident or list(roles) == ["*"]
    found.check(only, _PATH, f'A resident {of} must have `acceptedResourceRoles = ["*"]`.')
