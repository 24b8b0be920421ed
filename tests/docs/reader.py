"""Somebody who reads a page and types what stands there, in a folder and a home of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.docs.pages import ROOT, Block, blocks_of, is_course, is_part_of

__all__ = ["Reader", "reading"]


@attrs.define
class Reader:
    """Goes through the blocks of one page; ``instead`` has what stands for the page's own example values here.

    The path of ``home`` is as short as a person's: sockets are kept in it.
    """

    page: Path
    folder: Path
    home: Path
    instead: dict[str, str] = attrs.field(factory=dict)
    printed: str = ""
    _blocks: Iterator[Block] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._blocks = iter(blocks_of(self.page))

    @property
    def environment(self) -> dict[str, str]:
        """What the page's first commands arrange, and a home in which nothing of anybody else's is."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ROADSTEAD"))}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**kept, "HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT)}

    def next(self, language: str) -> Block:
        """Return the next block, which must be of that kind."""
        block = next(self._blocks)
        assert language == block.language, f"{self.page}:{block.line}"
        return block

    def type(self, *, expect: int = 0, within: float = 300.0) -> str:
        """Type the next block as it stands, and return what was printed."""
        return self.run(self.next("sh").text, expect=expect, within=within)

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Type something in another terminal, where it goes on and prints into the file `loading`."""
        with (self.folder / "loading").open("wb") as out:
            return subprocess.Popen(
                ["/bin/bash", "-ec", self.meant(command)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def run(self, command: str, *, expect: int = 0, within: float = 300.0) -> str:
        """Type something, hold it to its exit code, and return what was printed."""
        # What the daemon prints is its own file's: nothing that goes on holds the output open.
        with (self.folder / "printed").open("w+") as out:
            done = subprocess.run(
                ["/bin/bash", "-ec", self.meant(command)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=within,
                check=False,
            )
            out.seek(0)
            self.printed = out.read()
        assert expect == done.returncode, f"{command}\n{self.printed}"
        assert "Traceback" not in self.printed
        return self.printed

    def compare(self, printed: str | None = None) -> None:
        """Hold the next block to what was printed, by the last command unless told otherwise."""
        block = self.next("text")
        text = self.printed if printed is None else printed
        where = f"{self.page}:{block.line} says\n{block.text}\nand printed was\n{text}"
        assert is_part_of(self.meant(block.text), text), where

    def follow(self) -> None:
        """Hold the next block, the course of something that was followed, to its end; what comes before it varies."""
        block = self.next("text")
        lines = block.text.splitlines()
        assert [] == [line for line in lines if not is_course(line)], f"{self.page}:{block.line}"
        assert is_part_of(lines[-1], self.printed), f"{self.page}:{block.line}: {lines[-1]} is not in\n{self.printed}"

    def edit(self, before: str, after: str, *, file: str = "fleet.yaml") -> None:
        """Change something that must stand in a file exactly once."""
        path = self.folder / file
        text = path.read_text()
        assert 1 == len(re.findall(before, text, re.MULTILINE)), f"{before} in\n{text}"
        path.write_text(re.sub(before, after, text, flags=re.MULTILINE))

    def at_the_end(self) -> bool:
        """Whether every block was gone through."""
        return next(self._blocks, None) is None

    def meant(self, text: str) -> str:
        """Return a block as it is to be typed here."""
        for example, here in self.instead.items():
            text = text.replace(example, here)
        return text


@contextmanager
def reading(page: Path, folder: Path) -> Iterator[Reader]:
    """Yield a reader in a new folder, with the models of this checkout; nothing of theirs runs at the end."""
    folder.mkdir()
    if (ROOT / "models").is_dir():
        shutil.copytree(ROOT / "models", folder / "models")
    with tempfile.TemporaryDirectory(prefix="reader-") as home:
        made = Reader(page, folder, Path(home))
        try:
            yield made
        finally:
            if (folder / "fleet.yaml").exists():
                made.run("roadstead daemon stop --stop-replicas --yes || true", within=120)
