"""The digest of a model version, held to what anybody can compute without us."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.cli.entry import main
from roadstead.spi.digest import DigestError, version_digest

SHELL = "find -L . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
NAMES = st.text("abcXYZ019-_. é", min_size=1, max_size=8).filter(lambda name: name.strip(".") != "")


@given(files=st.dictionaries(NAMES, st.binary(max_size=50), min_size=1, max_size=5))
def test_the_digest_is_that_of_the_shell(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    """`sha256sum` and `sort` come to the same result, whatever the names and contents."""
    folder = tmp_path_factory.mktemp("version")
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / "variables").mkdir(exist_ok=True)
        (folder / "variables" / name).write_bytes(content[::-1])
    done = subprocess.run(["/bin/sh", "-c", SHELL], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == version_digest(folder)


def test_every_byte_and_every_name_counts(tmp_path: Path) -> None:
    """A changed byte, a renamed file and a moved file are three other versions."""
    file = tmp_path / "weights"
    file.write_bytes(b"1")
    seen = {version_digest(tmp_path)}
    file.write_bytes(b"2")
    seen.add(version_digest(tmp_path))
    file = file.rename(tmp_path / "other")
    seen.add(version_digest(tmp_path))
    (tmp_path / "below").mkdir()
    file.rename(tmp_path / "below" / "other")
    seen.add(version_digest(tmp_path))
    assert 4 == len(seen)


def test_a_link_counts_as_what_it_points_to(tmp_path: Path) -> None:
    """A model store of links to blobs has the digest of the files."""
    store, plain, linked = tmp_path / "blob", tmp_path / "plain", tmp_path / "linked"
    store.write_bytes(b"weights")
    for folder in (plain, linked):
        folder.mkdir()
    (plain / "w").write_bytes(b"weights")
    (linked / "w").symlink_to(store)
    assert version_digest(plain) == version_digest(linked)


def test_what_cannot_be_read_as_a_whole_has_no_digest(tmp_path: Path) -> None:
    """Empty, missing, in a circle, or with a name that is two lines."""
    empty, circle, lines = tmp_path / "empty", tmp_path / "circle", tmp_path / "lines"
    for folder in (empty, circle, lines):
        folder.mkdir()
    (circle / "again").symlink_to(circle)
    (lines / "a\nb").write_bytes(b"")
    for folder in (empty, circle, lines, tmp_path / "missing"):
        with pytest.raises(DigestError):
            version_digest(folder)


def test_the_command_prints_it_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ready to be pasted behind `digest:`."""
    (tmp_path / "w").write_bytes(b"weights")
    assert 0 == main(["model", "digest", str(tmp_path)])
    assert f"{version_digest(tmp_path)}\n" == capsys.readouterr().out
