"""What a check between keys finds, before its place in the file was looked up."""

from __future__ import annotations

import attrs

from roadstead.config.problems import Path, ProblemCode

__all__ = ["Finding"]


@attrs.frozen(kw_only=True)
class Finding:
    """A problem before its place was looked up.

    ``involving`` are the other values that it follows from. Where ``about_key``, the key is wrong and not its value.
    """

    code: ProblemCode
    path: Path
    what: str
    hint: str
    involving: tuple[Path, ...] = ()
    about_key: bool = False
