"""What Marathon answers when it does not do what was asked, and the violations of which it tells all at once."""

from __future__ import annotations

from typing import Any

from roadstead_backends.marathon.emulator.documents.scala_order import by_text, walked

__all__ = ["Refusal", "Violations", "illegal", "invalid_json", "not_found", "unknown"]


class Refusal(Exception):
    """An answer that is an error; ``body`` is its JSON."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    @property
    def message(self) -> str:
        """What the answer says first."""
        return str(self.body.get("message", ""))


def unknown(kind: str, name: object) -> Refusal:
    """Somebody asked to see what there is not."""
    return Refusal(404, {"message": f"{kind} '{name}' does not exist", "details": []})


def not_found(kind: str, name: object) -> Refusal:
    """Somebody asked to change what there is not: the same words, without ``details``."""
    return Refusal(404, {"message": f"{kind} '{name}' does not exist"})


def illegal(message: str) -> Refusal:
    """An ``IllegalArgumentException`` of the original: the words alone."""
    return Refusal(422, {"message": message})


def invalid_json(details: list[dict[str, Any]]) -> Refusal:
    """The JSON has not the form that was asked for."""
    return Refusal(422, {"message": "Invalid JSON", "details": details})


class Violations:
    """Rules that an object breaks, by path."""

    def __init__(self) -> None:
        self._errors: dict[str, list[str]] = {}

    def add(self, path: str, message: str) -> None:
        """Note one; the same one twice counts once."""
        messages = self._errors.setdefault(path, [])
        if message not in messages:
            messages.append(message)

    def check(self, holds: bool, path: str, message: str) -> None:  # noqa: FBT001  # the condition is the subject
        """Note one unless ``holds``."""
        if not holds:
            self.add(path, message)

    def extend(self, other: Violations, below: str = "") -> None:
        """Take over another's, with their paths below ``below``."""
        for path, messages in other._errors.items():  # of one kind
            for message in messages:
                self.add(below + (path if path != "/" or not below else ""), message)

    def gathered(self, path: str) -> Violations:
        """All of them at one path."""
        found = Violations()
        for messages in self._errors.values():
            for message in messages:
                found.add(path, message)
        return found

    def __bool__(self) -> bool:
        return bool(self._errors)

    def raise_any(self) -> None:
        """Refuse if there is any violation."""
        if self._errors:
            paths = walked(self._errors, by_text)
            details = [{"path": path, "errors": self._errors[path]} for path in paths]
            raise Refusal(422, {"message": "Object is not valid", "details": details})
