"""Whether a TCP address is free, and who holds it where it is not.

The kernel is asked by a bind, which takes microseconds; its tables name the holder, and reading them takes milliseconds
(they are walked bucket by bucket), so they are read only when there is somebody to name.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import errno
import os
import socket
from typing import NamedTuple

from roadstead.shim.files import read_text
from roadstead.shim.spec import Address

_LISTENING = "0A"
_ANY_V4 = "00000000"
_ANY_V6 = "0" * 32
_MAPPED_V4 = "0000000000000000FFFF0000"


class Listener(NamedTuple):
    """Who listens; the process is None where it is not ours to see."""

    pid: int | None
    command: str | None


def listener_at(address: Address) -> Listener | None:
    """Return who would collide with a server at an IPv4 address, or None when it is free.

    Raises ``OSError`` when the address is none of this machine's.
    """
    if _is_free(address):
        return None
    inode = _listening_inode(address)
    pid = None if inode is None else _holder_of(inode)
    command = None if pid is None else read_text(f"/proc/{pid}/comm")
    return Listener(pid, None if command is None else command.strip())


def _is_free(address: Address) -> bool:
    with socket.socket() as probe:
        # Connections of the last server that linger in TIME_WAIT are no obstacle, for the next one neither.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def explain_taken(address: Address, listener: Listener) -> str:
    """Return one sentence that says who holds an address and what to do."""
    who = "a process that we cannot see" if listener.pid is None else f"process {listener.pid} ({listener.command})"
    return f"address {address.host}:{address.port} is in use by {who}; stop it, or let it listen on another address"


def _listening_inode(address: Address) -> str | None:
    # The kernel prints the address as one little-endian number, on the machines that model servers run on.
    wanted = "".join(f"{int(part):02X}" for part in reversed(address.host.split(".")))
    hosts = {wanted, _ANY_V4, _ANY_V6, _MAPPED_V4 + wanted}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in (read_text(table) or "").splitlines()[1:]:
            fields = line.split()
            host, _, port = fields[1].partition(":")
            if fields[3] == _LISTENING and int(port, 16) == address.port and host in hosts:
                return fields[9]
    return None


def _holder_of(inode: str) -> int | None:
    link = f"socket:[{inode}]"
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                if os.readlink(f"/proc/{name}/fd/{descriptor}") == link:
                    return int(name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended, or somebody else's
    return None
