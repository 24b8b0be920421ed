"""One page of text for each code that a person may meet: what it means, why it happens, and what to do.

A page is the file ``CODE.md`` beside this module: a first line ``# CODE: title``, then paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from importlib.resources import files

from roadstead.cli.errors import NoPage

__all__ = ["codes", "page", "titles"]

_SUFFIX = ".md"


def codes() -> tuple[str, ...]:
    """Return every code that there is a page about: the errors, then the reasons."""
    names = (entry.name for entry in files(__name__).iterdir())
    found = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
    return tuple(sorted(found, key=lambda code: (not code.startswith("RS"), code)))


def page(code: str) -> str:
    """Return the page about ``code``, whatever its case; raises :class:`NoPage` that names the nearest ones."""
    known = {one.lower(): one for one in codes()}
    found = known.get(code.lower())
    if found is None:
        near = get_close_matches(code.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(known[one] for one in near)}?" if near else "`roadstead explain` lists them"
        raise NoPage(f"there is no page about {code!r}", hint=hint)
    return files(__name__).joinpath(found + _SUFFIX).read_text(encoding="utf-8")


def titles() -> Iterator[tuple[str, str]]:
    """Yield every code with the title of its page."""
    for code in codes():
        yield code, page(code).partition("\n")[0].removeprefix(f"# {code}: ")
