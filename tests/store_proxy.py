"""An object store of this machine behind a proxy that counts requests and does harm.

Both are in a process of their own, because GDAL holds Python's lock while it waits. As a script: serve until killed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ORDERS = "/-/"
"""Paths that are orders to the proxy."""
HARMS = ("slowdown", "late", "torn_get", "torn_put", "lost_put", "careless", "refuse")
"""503 SlowDown; an answer after `wait_s`; connections that are closed in the middle of a body; a put that is done and
whose answer is lost; puts that overwrite in spite of If-None-Match; nobody listens for `wait_s`."""


@dataclass(frozen=True)
class StoreProxy:
    """A running proxy, seen from the test."""

    url: str
    """s3:// and the bucket."""
    place: str
    """host:port"""

    def counts(self) -> dict[str, dict[str, int]]:
        """Return and forget, for LIST, GET, HEAD, PUT, COPY and DELETE, the requests and bytes of bodies since then."""
        return dict(self._order("counts"))

    def requests(self) -> list[str]:
        """Return and forget the requests since then, each with its path."""
        return list(self._order("requests"))

    def harm(self, kind: str, times: int = 1, every: int = 1, wait_s: float = 0.0) -> None:
        """Do harm to every n-th request that it fits, so many times."""
        assert kind in HARMS
        self._order(f"harm?kind={kind}&times={times}&every={every}&wait_s={wait_s}")

    def left(self) -> int:
        """Return how many times harm is still to be done, and do no more."""
        return int(self._order("left"))

    def _order(self, what: str) -> Any:
        for _ in range(100):
            with contextlib.suppress(ConnectionError, urllib.error.URLError):
                return json.load(urllib.request.urlopen(f"http://{self.place}{ORDERS}{what}", timeout=30))
            time.sleep(0.1)
        raise AssertionError("the proxy is gone")


@contextlib.contextmanager
def store_proxy(bucket: str) -> Iterator[StoreProxy]:
    """Start both with an empty bucket, and let the environment point to them, for obstore and for GDAL."""
    words = [sys.executable, __file__, bucket]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        place = f"127.0.0.1:{server.stdout.readline().strip()}"
        secret = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
        ours = {"AWS_ENDPOINT_URL": f"http://{place}", "AWS_ALLOW_HTTP": "true"}
        before = dict(os.environ)
        os.environ.update({**secret, **region, **ours})
        try:
            yield StoreProxy(f"s3://{bucket}", place)
        finally:
            server.kill()
            os.environ.clear()
            os.environ.update(before)


class _State:
    """What the proxy counts, and the harm that it is to do."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str, int]] = []
        self.harm: dict[str, Any] = {}
        self.fitting = 0

    def count(self, kind: str, path: str, size: int) -> None:
        with self.lock:
            self.seen.append((kind, path, size))

    def due(self, kind: str) -> str:
        """Return the harm that this request suffers."""
        what = self.harm.get("kind", "")
        fits = {"torn_get": kind == "GET", **dict.fromkeys(("torn_put", "lost_put", "careless"), kind == "PUT")}
        with self.lock:
            if not what or not fits.get(what, True) or self.harm["times"] <= 0:
                return ""
            self.fitting += 1
            if self.fitting % self.harm["every"]:
                return ""
            self.harm["times"] -= 1
            return what

    def order(self, path: str) -> Any:
        url = urlsplit(path)
        what, asked = url.path.removeprefix(ORDERS), {k: v[0] for k, v in parse_qs(url.query).items()}
        with self.lock:
            if what == "harm":
                numbers = {"times": int(asked["times"]), "every": int(asked["every"]), "wait_s": float(asked["wait_s"])}
                self.harm, self.fitting = {"kind": asked["kind"], **numbers}, 0
                return None
            if what == "left":
                left, self.harm = self.harm.get("times", 0), {}
                return left
            seen, self.seen = self.seen, []
        if what == "requests":
            return [f"{kind} {where}" for kind, where, _ in seen]
        kinds = sorted({kind for kind, _, _ in seen})
        sizes = {kind: [size for one, _, size in seen if one == kind] for kind in kinds}
        return {kind: {"requests": len(found), "bytes": sum(found)} for kind, found in sizes.items()}


def _kind(method: str, path: str, headers: Any) -> str:
    if method == "GET" and ("list-type" in path or "prefix=" in path):
        return "LIST"
    return "COPY" if method == "PUT" and "x-amz-copy-source" in headers else method


def _handler(state: _State, inner: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            if self.path.startswith(ORDERS):
                self._send(200, {}, json.dumps(state.order(self.path)).encode())
                return
            kind = _kind(self.command, self.path, self.headers)
            size = int(self.headers.get("content-length") or 0)
            harm = state.due(kind)
            if harm == "torn_put":
                self.rfile.read(size // 2)
                state.count(kind, self.path, size // 2)
                self._hang_up()
                return
            body = self.rfile.read(size)
            if harm == "late":
                time.sleep(state.harm["wait_s"])
            if harm == "slowdown":
                state.count(kind, self.path, 0)
                self._send(503, {}, b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>")
                return
            if harm == "refuse":
                threading.Thread(target=_deaf, args=(self.server, state.harm["wait_s"])).start()
                self._hang_up()
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "expect")}
            if harm == "careless":
                headers = {k: v for k, v in headers.items() if k.lower() != "if-none-match"}
            connection = http.client.HTTPConnection(inner, timeout=60)
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            state.count(kind, self.path, len(body) + len(data))
            if harm == "lost_put":
                self._hang_up()
                return
            told = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
            self._send(answer.status, told, data, len(data) // 2 if harm == "torn_get" else None)

        def _send(self, status: int, headers: dict[str, str], data: bytes, only: int | None = None) -> None:
            self.send_response_only(status)
            sent = {k.lower(): v for k, v in headers.items()}
            if self.command != "HEAD":
                sent["content-length"] = str(len(data))
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data if only is None else data[:only])
            if only is not None:
                self._hang_up()

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler._serve)
    return Handler


def _deaf(server: Any, seconds: float) -> None:
    """Let nobody connect for a while: connections are refused, as by a store that restarts."""
    server.socket.close()
    time.sleep(seconds)
    fresh = socket.socket()
    fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    fresh.bind(server.server_address)
    fresh.listen(64)
    server.socket = fresh


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Keep quiet: clients hang up, too."""


def _serve(bucket: str) -> None:
    from moto.server import ThreadedMotoServer

    inner = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    inner.start()
    host, port = inner.get_host_and_port()
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/{bucket}", method="PUT"), timeout=30).close()
    server = _Server(("127.0.0.1", 0), _handler(_State(), f"{host}:{port}"))
    print(server.server_address[1], flush=True)
    while True:
        try:
            # One at a time, by hand: the socket may be another one by the next.
            server.handle_request()
        except (OSError, ValueError):
            time.sleep(0.02)


if __name__ == "__main__":
    _serve(sys.argv[1])
