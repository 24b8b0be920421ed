"""The server of the runtime `odd`: serves, and misbehaves as its arguments say."""

from __future__ import annotations

import http.server
import json
import os
import sys
import threading

_LINES = (b"x" * 99 + b"\n") * 640


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every path with who it is, and whether it ever gets its model loaded."""

    def do_GET(self) -> None:
        """Answer."""
        body = json.dumps({"version": VERSION, "pid": os.getpid(), "loading": "--loading" in FLAGS}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as its base has it
        """Print nothing."""


def flood() -> None:
    """Print as fast as somebody reads."""
    while True:
        os.write(1, _LINES)


if __name__ == "__main__":
    host, port, VERSION, *FLAGS = sys.argv[1], int(sys.argv[2]), sys.argv[3], *sys.argv[4:]
    if "--broken" in FLAGS:
        sys.exit("model.bin: the file is not a model")
    if "--flood" in FLAGS:
        threading.Thread(target=flood, daemon=True).start()
    http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
