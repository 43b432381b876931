"""A web server with TLS and its own certificate authority, a tunnel to it, and the faults of real networks.

    with running_server(tmp_path) as server:
        server.pages["/R-50.pkl"] = [Page(b"weights", status=503), Page(b"weights", broken_after=3), Page(b"weights")]
        ... https://localhost:PORT/R-50.pkl ...

A client trusts it by the variable SSL_CERT_FILE, as `server.environment` has it. With `https_proxy` from there too,
every https address leads to this server: the tests fetch the true addresses.
"""

from __future__ import annotations

import contextlib
import http.server
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import pytest

STORE_HOST = "dl.fbaipublicfiles.com"
_CHUNK_BYTES = 1 << 20
_MOST_STALL_S = 60.0


@dataclass(frozen=True)
class Page:
    """One answer of the server. Of the answers for a path each serves one request, the last one all others."""

    body: bytes | Path = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = '"1"'
    accepts_ranges: bool = True
    announced: int | None = None
    """Content-Length, if it is not the true one; -1: none, so that only the end of the connection ends the body."""
    broken_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stalled_after: int | None = None
    """Bytes of the body after which nothing more comes."""
    bytes_per_s: int | None = None
    """A body that comes in drops, ten a second."""

    @property
    def size(self) -> int:
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of the body from `start` to before `end`."""
        if isinstance(self.body, bytes):
            yield self.body[start:end]
            return
        with self.body.open("rb") as file:
            file.seek(start)
            while start < end:
                yield file.read(min(_CHUNK_BYTES, end - start))
                start += _CHUNK_BYTES


@dataclass
class Server:
    """The running server: what it serves, and what was asked of it."""

    port: int
    certificate: Path
    proxy_port: int
    pages: dict[str, list[Page]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers (names in lower case) of each request."""
    tunnelled: list[str] = field(default_factory=list)
    """Hosts that clients asked the proxy for."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def address(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a client trusts the server, and reaches it under every name."""
        return {
            "SSL_CERT_FILE": str(self.certificate), "https_proxy": f"http://127.0.0.1:{self.proxy_port}",
            "no_proxy": "localhost",
        }  # fmt: skip

    def next_page(self, path: str) -> Page:
        pages = self.pages.get(path, [Page(b"nothing here", status=404)])
        return pages.pop(0) if len(pages) > 1 else pages[0]


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Serve until the end of the block; skips the test where openssl, which makes the certificate, is missing."""
    certificate, key = _make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    pages = _Threads(("127.0.0.1", 0), _Pages)
    pages.socket = context.wrap_socket(pages.socket, server_side=True, do_handshake_on_connect=False)
    tunnel = _Threads(("127.0.0.1", 0), _Tunnel)
    server = Server(pages.server_address[1], certificate, tunnel.server_address[1])
    for listener in (pages, tunnel):
        listener.state = server
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.stopping.set()
        for listener in (pages, tunnel):
            listener.shutdown()
            listener.server_close()


def _make_certificate(folder: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate of the test server, is not installed")
    certificate, key = folder / "ca.pem", folder / "key.pem"
    names = f"subjectAltName=DNS:localhost,DNS:{STORE_HOST},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "3650", "-subj", "/CN=test server", "-addext", names]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class _Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    state: Server

    def handle_error(self, *_: Any) -> None:
        """A client that breaks off, or refuses the certificate, is part of the tests."""


class _Pages(http.server.BaseHTTPRequestHandler):
    server: _Threads

    def do_GET(self) -> None:
        state = self.server.state
        state.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        page = state.next_page(self.path)
        start = self._requested_start(page)
        if start is not None and start >= page.size:
            self._send_head(416, {"Content-Range": f"bytes */{page.size}", "Content-Length": "0"})
            return
        headers = dict(page.headers)
        if page.etag is not None:
            headers["ETag"] = page.etag
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{page.size - 1}/{page.size}"
        length = page.size - (start or 0) if page.announced is None else page.announced
        if length >= 0:
            headers["Content-Length"] = str(length)
        self._send_head(page.status if start is None else 206, headers)
        self._send_body(page, start or 0)

    def _requested_start(self, page: Page) -> int | None:
        """The first byte of a partial answer; None for a whole one."""
        match = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if match is None or not page.accepts_ranges or page.status != 200:
            return None
        # another version than the client has a part of: RFC 9110, 13.1.5
        return int(match[1]) if self.headers.get("If-Range", page.etag) == page.etag else None

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, page: Page, start: int) -> None:
        limits = [page.size, *(at for at in (page.broken_after, page.stalled_after) if at is not None)]
        for chunk in page.chunks(start, max(start, min(limits))):
            self._send_chunk(chunk, page.bytes_per_s)
        self.wfile.flush()
        if page.stalled_after is not None:
            self.server.state.stopping.wait(_MOST_STALL_S)

    def _send_chunk(self, chunk: bytes, bytes_per_s: int | None) -> None:
        step = len(chunk) if bytes_per_s is None else max(1, bytes_per_s // 10)
        for at in range(0, len(chunk), step or 1):
            self.wfile.write(chunk[at : at + step])
            if bytes_per_s is not None and self.server.state.stopping.wait(0.1):
                return

    def log_message(self, *_: Any) -> None:
        """The tests' output is not the server's log."""


class _Tunnel(http.server.BaseHTTPRequestHandler):
    """A proxy that leads every host to the server."""

    server: _Threads

    def do_CONNECT(self) -> None:
        state = self.server.state
        state.tunnelled.append(self.path.split(":")[0])
        with socket.create_connection(("127.0.0.1", state.port)) as there:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=_pour, args=(there, self.connection), daemon=True)
            back.start()
            _pour(self.connection, there)
            back.join()

    def log_message(self, *_: Any) -> None:
        """See above."""


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # one side has closed: so does the other
        for chunk in iter(lambda: source.recv(1 << 16), b""):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until something has happened in another thread or process."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
