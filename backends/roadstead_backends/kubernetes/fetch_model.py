"""Puts a model's files in place before its server starts, in an init container: fetches, unpacks, checks the digest.

This file is not imported here: its text is handed to ``python3 -c`` in an image that has nothing of ours, so it uses
the standard library alone, as of Python 3.9. What it prints last is what ``why`` shows of a pod that cannot start.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path

BLOCK = 1 << 20


def main(source: str, folder: str, version: str, digest: str) -> None:
    """Fetch an archive where ``source`` is given; then the version's files must be there and have that digest."""
    try:
        prepare(source, Path(folder), version, digest)
    except Exception as error:  # noqa: BLE001  # whatever it is, the pod must say it and not start
        sys.exit(f"the model's files cannot be used: {error}")


def prepare(source: str, folder: Path, version: str, digest: str) -> None:
    """Do what `main` does, and raise whatever goes wrong."""
    if source:
        fetch(source, folder)
    if not (folder / version).is_dir():
        raise ValueError(f"there is no folder {version} in {source or 'the volume'}")
    if digest:
        check(folder / version, digest)


def fetch(url: str, folder: Path) -> None:
    """Fetch an archive, tar or zip, and unpack it; nothing of it may lie outside of the folder."""
    with tempfile.TemporaryFile(dir=folder) as kept:
        with urllib.request.build_opener(SameHost).open(url, timeout=60) as answer:
            for block in iter(lambda: answer.read(BLOCK), b""):
                kept.write(block)
        kept.seek(0)
        if zipfile.is_zipfile(kept):
            with zipfile.ZipFile(kept) as packed:
                for name in packed.namelist():
                    must_be_inside(folder, name)
                    packed.extract(name, folder)
            return
        kept.seek(0)
        with tarfile.open(fileobj=kept) as archive:
            for member in archive:
                if not (member.isfile() or member.isdir()):
                    raise ValueError(f"{member.name} in the archive is neither a file nor a folder")
                must_be_inside(folder, member.name)
                archive.extract(member, folder, set_attrs=False)


class SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects on the host that was named, and on no other."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        """Refuse another host, and to go from https to http."""
        other = super().redirect_request(req, fp, code, msg, headers, newurl)
        if other is not None and (other.host, other.type) != (req.host, req.type):
            raise ValueError(f"it redirects to another place, {other.type}://{other.host}")
        return other


def must_be_inside(folder: Path, name: str) -> None:
    """Refuse the name of a file that would not lie in the folder."""
    if not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name} in the archive lies outside of it")


def check(place: Path, digest: str) -> None:
    """Compare with what ``roadstead model digest`` prints: the digest of the list that ``sha256sum`` prints."""
    names = [
        (Path(parent) / name).relative_to(place).as_posix()
        for parent, _, files in os.walk(place, followlinks=True)
        for name in files
    ]
    listed = "".join(f"{of_file(place / name)}  ./{name}\n" for name in sorted(names))
    found = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
    if found != digest:
        raise ValueError(f"their digest is {found}, not {digest}")


def of_file(path: Path) -> str:
    """Return the digest of one file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    main(*sys.argv[1:5])
