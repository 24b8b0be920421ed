"""The bad fleet files of ``tests/config/bad`` and what is said of each: ``NAME.yaml`` and ``NAME.txt``.

``python -m tests.config.corpus`` writes every ``NAME.txt`` anew; read the difference before you commit it.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from roadstead.config import FleetFileError, read_fleet
from roadstead.spi.host import PluginHost

HERE = Path(__file__).parent
BAD = sorted((HERE / "bad").glob("*.yaml"))


def built_in() -> PluginHost:
    """Return a host with what this distribution brings, whatever else is installed."""
    return PluginHost.installed([distribution("roadstead")])


def said_of(path: Path) -> str:
    """Return what reading ``path`` says, under the file's name alone, so that it is the same everywhere."""
    try:
        read_fleet(path, built_in())
    except FleetFileError as error:
        return str(error).replace(str(path), path.name) + "\n"
    return "nothing\n"


def main() -> None:
    """Write what is said of each file beside it."""
    for path in BAD:
        path.with_suffix(".txt").write_text(said_of(path), encoding="utf-8")


if __name__ == "__main__":
    main()
