"""Files that are never half written, and folders that only their owner can read."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import contextlib
import errno
import json
import os
from typing import Any

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def make_private_folder(path: str) -> None:
    """Create a folder (and its parents) for this user alone, and tighten one that already exists.

    Raises ``PermissionError`` when the folder belongs to somebody else: what lies in it could be changed under us.
    """
    os.makedirs(path, mode=PRIVATE_FOLDER, exist_ok=True)
    status = os.stat(path)
    if status.st_uid != os.geteuid():
        raise PermissionError(
            errno.EPERM,
            f"folder belongs to user {status.st_uid}, not to {os.geteuid()}; choose a folder of your own",
            path,
        )
    if status.st_mode & 0o777 != PRIVATE_FOLDER:
        os.chmod(path, PRIVATE_FOLDER)


def write_whole(path: str, text: str, *, durable: bool) -> None:
    """Replace a file in one step: a reader sees the old text or the new one, never a part.

    ``durable`` also survives a loss of power (file and folder are flushed). It is left out for the state of running
    processes, which does not survive one either, because flushing a busy disk can take seconds.
    """
    temporary = f"{path}.{os.getpid()}.new"
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE
        )
        try:
            _write_all(descriptor, text.encode())
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        remove_if_there(temporary)
        raise
    if durable:
        flush_folder(os.path.dirname(path))


def write_json(path: str, value: Any, *, durable: bool) -> None:
    """Replace a file by a value as JSON, in one step."""
    write_whole(path, json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n", durable=durable)


def read_json(path: str) -> Any | None:
    """Return what a JSON file holds, or None when there is no such file or it is not JSON.

    The second happens after a loss of power only; what such a file said is lost either way.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def read_text(path: str) -> str | None:
    """Return a small file's text, or None when there is no such file (or the kernel object behind it is gone)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ESRCH, errno.EOPNOTSUPP):
            return None
        raise


def remove_if_there(path: str) -> None:
    """Remove a file; no such file is fine."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def flush_folder(path: str) -> None:
    """Make the names in a folder survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
