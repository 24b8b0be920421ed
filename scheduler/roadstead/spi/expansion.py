"""What a launch leaves open, filled in: the variables that :mod:`roadstead.spi.runtime` defines."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["expand"]

_VARIABLE = re.compile(r"\$\(([A-Z_]+)\)")


def expand(text: str, meanings: Mapping[str, str]) -> str:
    """Return a text with ``$(NAME)`` replaced; a name without a meaning is left as it is.

    >>> expand("--host=$(HOST) $(OTHER)", {"HOST": "127.16.0.1"})
    '--host=127.16.0.1 $(OTHER)'
    """
    return _VARIABLE.sub(lambda match: meanings.get(match[1], match[0]), text)
