"""Where things are kept on this machine: what was built and fetched, and what a running cluster writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "cache_folder", "run_folder", "runs_folder"]

ROOT: Final = Path(__file__).resolve().parents[2]
"""The source tree."""


def cache_folder() -> Path:
    """Return the folder for what may be kept between runs; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "roadstead" / "cluster"


def runs_folder() -> Path:
    """Return the folder that has one folder for each running cluster."""
    return cache_folder() / "runs"


def run_folder(number: int) -> Path:
    """Return the folder of the cluster with a number, its disks and logs included."""
    return runs_folder() / f"{number:02}"
