"""A web host of this machine that writes down what it is asked.

In a process of its own, because GDAL holds Python's lock while it waits.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVER = """
import http.server, os, sys

folder, log = sys.argv[1:]

class Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        with open(log, "a") as file:
            file.write(self.path + "\\n")
        path = folder + self.path
        if not os.path.isfile(path):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = open(path, "rb").read()
        size, asked = len(data), self.headers.get("Range")
        if asked:
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            data = data[int(start) : int(stop or size) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{int(start) + len(data) - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 05:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Web:
    """A running host."""

    address: str
    """http://127.0.0.1:PORT"""
    log: Path

    def asked(self) -> list[str]:
        """Return the paths that it was asked for, in order."""
        return self.log.read_text().splitlines()


@contextlib.contextmanager
def web(folder: Path, log: Path) -> Iterator[Web]:
    """Serve a folder."""
    log.touch()
    command = [sys.executable, "-c", SERVER, str(folder), str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Web(f"http://127.0.0.1:{int(process.stdout.readline())}", log)
        finally:
            process.kill()
