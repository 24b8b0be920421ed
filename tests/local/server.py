"""A tiny model server to torment: one file, standard library, started like any server.

``server.py HOST PORT`` answers ``GET /VERB/ARGUMENT`` over HTTP, one connection at a time:

``pid`` the process id; ``environ/NAME`` a variable; ``hog/MIB`` takes memory and keeps it; ``spin/SECONDS`` computes;
``exit/CODE`` ends; ``print/BYTES`` prints so many; ``orphan/0`` leaves a child in a session of its own that minds no
SIGTERM, and answers its id.

With ``STUBBORN=1`` it ignores SIGTERM, with ``SLOW_STOP=SECONDS`` it takes its time.
"""

import os
import signal
import socket
import sys
import time
from types import FrameType

HELD: list[bytearray] = []


def spin(seconds: float) -> str:
    """Use all the processor time there is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def hog(mebibytes: int) -> str:
    """Hold memory, every page of it touched."""
    HELD.extend(bytearray(os.urandom(1) * (1 << 20)) for _ in range(mebibytes))
    return "held"


def orphan() -> str:
    """Leave a grandchild behind whose parent is gone."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writing, str(os.getpid()).encode())
            time.sleep(3600)
        os._exit(0)
    os.wait()
    return os.read(reading, 32).decode()


def answer(verb: str, argument: str) -> str:
    """Do what a request asks."""
    match verb:
        case "pid":
            return str(os.getpid())
        case "environ":
            return os.environ.get(argument, "")
        case "hog":
            return hog(int(argument))
        case "spin":
            return spin(float(argument))
        case "exit":
            os._exit(int(argument))
        case "print":
            os.write(1, (b"x" * 99 + b"\n") * (int(argument) // 100))
            return "printed"
        case "orphan":
            return orphan()
    return "unknown"


def stop_slowly(number: int, frame: FrameType | None) -> None:
    """End after a while, as a server does that finishes its requests."""
    time.sleep(float(os.environ["SLOW_STOP"]))
    os._exit(0)


def main() -> None:
    """Serve until killed."""
    if os.environ.get("STUBBORN"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("SLOW_STOP"):
        signal.signal(signal.SIGTERM, stop_slowly)
    if len(sys.argv) < 3:
        os.write(1, f"serving as {os.getpid()}\n".encode())
        signal.pause()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((sys.argv[1], int(sys.argv[2])))
    listener.listen()
    os.write(1, f"serving as {os.getpid()}\n".encode())
    while True:
        connection, _ = listener.accept()
        with connection:
            path = connection.recv(4096).split()[1].decode().strip("/")
            verb, _, argument = path.partition("/")
            body = answer(verb, argument).encode()
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


if __name__ == "__main__":
    main()
