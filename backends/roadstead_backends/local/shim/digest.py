r"""The digest of a model version: one SHA-256 over all its files, and the check of it before a server is started.

The digest is the SHA-256 of a list with one line per file, sorted by path: the file's own SHA-256, two blanks, its path
below the version's folder. A shell gives the same::

    cd models/minilm/1 && find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum

Run as a program it checks a folder: ``python -I -S digest.py FOLDER EXPECTED``.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import hashlib
import os
import sys

_CHUNK = 1 << 20


def digest_of(folder: str) -> str:
    """Return the digest of a model version's folder, 64 hexadecimal digits; links to files count as what they lead to.

    Raises ``OSError`` when a file cannot be read, and ``FileNotFoundError`` when there is none at all.
    """
    paths = sorted(
        os.path.relpath(os.path.join(parent, name), folder).encode()
        for parent, _, names in os.walk(folder)
        for name in names
    )
    if not paths:
        raise FileNotFoundError(f"no files in {folder}")
    whole = hashlib.sha256()
    for path in paths:
        whole.update(_file_digest(os.path.join(folder.encode(), path)).encode() + b"  " + path + b"\n")
    return whole.hexdigest()


def _file_digest(path: bytes) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def main(argv: list[str]) -> int:
    """Check a folder against a digest; the exit code is 0 when they agree, and what is wrong is printed."""
    folder, expected = argv[1], argv[2]
    try:
        found = digest_of(folder)
    except OSError as error:
        sys.stderr.write(f"model files cannot be read: {error}\n")
        return 1
    if found != expected:
        sys.stderr.write(f"model in {folder} has digest {found}, the fleet file says {expected}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
