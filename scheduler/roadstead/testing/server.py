"""A server for tests: ``python -m roadstead.testing.server HOST PORT`` answers every request, and stops when asked to.

It says on its output what it does, so that logs have something in them, and takes a fifth of a second to stop, so that
stopping can be seen.
"""

import os
import signal
import socket
import sys
import time
from types import FrameType

__all__ = ["main"]

_STOPS_WITHIN_S = 0.2


def main(host: str, port: int) -> None:
    """Serve until asked to stop."""
    signal.signal(signal.SIGTERM, _stop)
    listener = socket.create_server((host, port))
    _say(f"serving as {os.getpid()}")
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nserving")


def _stop(_number: int, _frame: FrameType | None) -> None:
    _say("stopping")
    time.sleep(_STOPS_WITHIN_S)
    os._exit(0)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
