"""Model files come only from under declared folders, whatever links lie on the way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["OutsideRootsError", "confine_model"]


class OutsideRootsError(ValueError):
    """A model's path, or a link below it, leads out of the declared folders; the text says which."""


def confine_model(source: str, version: int, roots: Iterable[Path]) -> Path:
    """Return the real folder that holds the model's version folders.

    Whether the version is there is not asked: a server waits for its model with back-off, so one that is copied late
    comes up by itself. Raises :class:`OutsideRootsError`.
    """
    real_roots = tuple(root.resolve() for root in roots)
    folder = _inside(Path(source), real_roots)
    files = _inside(folder / str(version), real_roots)
    for parent, folders, names in os.walk(files):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                _inside(path, real_roots)
    return folder


def _inside(path: Path, roots: tuple[Path, ...]) -> Path:
    real = path.resolve()
    if not any(real.is_relative_to(root) for root in roots):
        allowed = ", ".join(str(root) for root in roots) or "none"
        raise OutsideRootsError(f"{path} leads to {real}, outside of the model roots ({allowed}); add one, or move it")
    return real
