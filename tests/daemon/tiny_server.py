"""The server of the runtime `tiny`: says who it is, at once or when it is let, and may take too much memory."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading

_HOARD: list[bytearray] = []
_RELEASED = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path with who it is, `/hold` only after `/release`, `/hoard` with all the memory that there is."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/hoard":
            _HOARD.extend(bytearray(b"x" * 2**20) for _ in range(4096))
        if self.path == "/release":
            _RELEASED.set()
        if self.path == "/hold":
            _RELEASED.wait()
        body = json.dumps({"version": VERSION, "pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002  # as its base has it
        """Print the request."""
        sys.stdout.write(f"asked {self.path}\n")


if __name__ == "__main__":
    host, port, VERSION = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    sys.stdout.write("tiny server begins\n")
    http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
