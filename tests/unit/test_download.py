"""Downloads from a real TLS server that breaks off, stalls, redirects, lies about lengths and replaces its files."""

from __future__ import annotations

import contextlib
import http.server
import logging
import os
import resource
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest

from tests.tls_server import Page, Server, wait_for
from ymir_detectron2.download import Limits, download
from ymir_detectron2.errors import ModelError, NetworkError, StorageError

PROJECT_DIR = Path(__file__).resolve().parents[2]
QUICK = Limits(timeout_s=20, pause_s=0.01)
IMPATIENT = replace(QUICK, timeout_s=0.5)  # for servers that stall; on a busy machine a handshake may take as long
BODY = bytes(range(256)) * 12_000  # 3 MB: more than one attempt has to bring
HALF = len(BODY) // 2
PARTIAL = [".partial-file.pkl", ".partial-file.pkl.version"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "file.pkl"


def accept(path: Path) -> None:
    """Check nothing: it is the server that is tested."""


def fetch(server: Server, target: Path, *pages: Page, limits: Limits = QUICK) -> None:
    server.pages["/file.pkl"] = list(pages)
    download(server.address("/file.pkl"), target, accept, limits)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ranges(server: Server) -> list[str | None]:
    return [headers.get("range") for _, headers in server.requests]


# --- what arrives ---------------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_and_everybody_may_read_it(server, target):
    umask = os.umask(0o022)
    try:
        fetch(server, target, Page(BODY))
    finally:
        os.umask(umask)
    assert target.read_bytes() == BODY
    assert left_in(target.parent) == ["file.pkl"]
    # weights are fetched as root when an image is built, and read by any user
    assert target.stat().st_mode & 0o777 == 0o644


def test_the_end_of_the_connection_is_the_end_of_a_file_without_length(server, target):
    fetch(server, target, Page(BODY, announced=-1))
    assert target.read_bytes() == BODY


def test_the_check_sees_the_whole_file_before_it_has_its_name(server, target):
    server.pages["/file.pkl"] = [Page(BODY)]
    seen = []

    def check(path: Path) -> None:
        seen.append((path.read_bytes() == BODY, path.suffix, target.exists()))

    download(server.address("/file.pkl"), target, check, QUICK)
    assert seen == [(True, ".pkl", False)]


@pytest.mark.parametrize("error", [ModelError("not this one"), NetworkError("damaged")])
def test_of_a_file_that_fails_its_check_nothing_is_kept(server, target, error):
    server.pages["/file.pkl"] = [Page(BODY)]

    def refuse(path: Path) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        download(server.address("/file.pkl"), target, refuse, QUICK)
    assert left_in(target.parent) == []


# --- interruptions --------------------------------------------------------------------------------------------------


def test_a_broken_connection_is_resumed_from_the_same_byte(server, target):
    fetch(server, target, Page(BODY, broken_after=1000), Page(BODY, broken_after=HALF), Page(BODY))
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, "bytes=1000-", f"bytes={HALF}-"]
    assert [headers.get("if-range") for _, headers in server.requests] == [None, '"1"', '"1"']


def test_last_modified_names_a_version_where_there_is_no_etag(server, target):
    dated = {"Last-Modified": "Mon, 05 Oct 2020 10:00:00 GMT"}
    page = Page(BODY, etag=None, headers=dated, accepts_ranges=False)
    fetch(server, target, Page(BODY, etag=None, headers=dated, broken_after=1000), page)
    assert server.requests[1][1]["if-range"] == dated["Last-Modified"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_without_a_validator_the_file_is_fetched_from_its_beginning(server, target, etag):
    fetch(server, target, Page(BODY, etag=etag, broken_after=HALF), Page(BODY, etag=etag))
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, None]


def test_a_server_that_ignores_ranges_sends_the_whole_file(server, target):
    fetch(server, target, Page(BODY, broken_after=HALF), Page(BODY, accepts_ranges=False))
    assert target.read_bytes() == BODY


def test_a_file_that_was_replaced_meanwhile_is_not_glued_together(server, target):
    other = BODY[::-1]
    fetch(server, target, Page(BODY, broken_after=HALF), Page(other, etag='"2"'))
    assert target.read_bytes() == other


def test_nor_by_a_server_that_knows_ranges_but_no_if_range(server, target):
    other = BODY[::-1]
    answer = Page(
        other[HALF:], status=206, etag='"2"', headers={"Content-Range": f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"}
    )
    fetch(server, target, Page(BODY, broken_after=HALF), answer, Page(other, etag='"2"'))
    assert target.read_bytes() == other
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_the_next_start_goes_on_where_the_last_one_gave_up(server, target):
    with pytest.raises(NetworkError, match=f"in 5 attempts .broke off after {HALF} of {len(BODY)} bytes"):
        fetch(server, target, Page(BODY, broken_after=HALF))
    assert left_in(target.parent) == PARTIAL
    server.requests.clear()
    fetch(server, target, Page(BODY))
    assert target.read_bytes() == BODY
    assert ranges(server) == [f"bytes={HALF}-"]
    assert left_in(target.parent) == ["file.pkl"]


def test_a_process_that_is_killed_loses_nothing(server, target):
    server.pages["/file.pkl"] = [Page(BODY, stalled_after=HALF), Page(BODY)]
    script = f"""
        from pathlib import Path
        from ymir_detectron2.download import download
        download({server.address("/file.pkl")!r}, Path({str(target)!r}), lambda path: None)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=PROJECT_DIR)
    partial = target.with_name(PARTIAL[0])
    wait_for(lambda: partial.exists() and partial.stat().st_size == HALF)
    process.kill()
    process.wait()
    download(server.address("/file.pkl"), target, accept, QUICK)
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_file_that_was_complete_but_not_yet_named_is_not_fetched_again(server, target):
    target.parent.mkdir()
    target.with_name(PARTIAL[0]).write_bytes(BODY)
    target.with_name(PARTIAL[1]).write_text(f'{server.address("/file.pkl")}\n"1"')
    fetch(server, target, Page(BODY))
    assert target.read_bytes() == BODY
    assert ranges(server) == [f"bytes={len(BODY)}-"]


def test_a_beginning_that_is_longer_than_the_file_is_forgotten(server, target):
    target.parent.mkdir()
    target.with_name(PARTIAL[0]).write_bytes(BODY + b"more")
    target.with_name(PARTIAL[1]).write_text(f'{server.address("/file.pkl")}\n"1"')
    fetch(server, target, Page(BODY))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("version", ['https://elsewhere/file.pkl\n"1"', "torn", ""])
def test_the_beginning_of_another_file_is_forgotten(server, target, version):
    target.parent.mkdir()
    target.with_name(PARTIAL[0]).write_bytes(b"something else")
    target.with_name(PARTIAL[1]).write_text(version)
    fetch(server, target, Page(BODY))
    assert target.read_bytes() == BODY
    assert ranges(server) == [None]


# --- slow and busy servers ------------------------------------------------------------------------------------------


def test_a_stalled_connection_is_given_up_and_resumed(server, target):
    fetch(server, target, Page(BODY, stalled_after=HALF), Page(BODY), limits=IMPATIENT)
    assert target.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_server_that_sends_in_drops_does_not_hold_us(server, target):
    with pytest.raises(NetworkError, match=r"in 2 attempts \(too little came for 0.5 s\)"):
        fetch(server, target, Page(BODY, bytes_per_s=100), limits=replace(IMPATIENT, attempts=2))
    assert target.with_name(PARTIAL[0]).stat().st_size < 500


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server, target, status, caplog):
    with caplog.at_level(logging.WARNING):
        fetch(server, target, Page(status=status), Page(BODY))
    assert target.read_bytes() == BODY
    assert f"HTTP {status}" in caplog.text


def test_a_server_may_say_when_to_come_back(server, target, caplog):
    with caplog.at_level(logging.WARNING):
        fetch(server, target, Page(status=503, headers={"Retry-After": "0"}), Page(BODY), limits=Limits(pause_s=500))
    assert "trying again in 0 s" in caplog.text


def test_a_server_that_stays_busy_is_asked_five_times(server, target):
    with pytest.raises(NetworkError, match=r"cannot be downloaded in 5 attempts \(HTTP 503 Service Unavailable\)"):
        fetch(server, target, Page(status=503))
    assert len(server.requests) == 5
    assert left_in(target.parent) == []


def test_attempts_that_bring_something_are_not_counted(server, target):
    body = BODY * 3
    steps = [Page(body, broken_after=at) for at in range(1_200_000, len(body), 1_200_000)]
    assert len(steps) > QUICK.attempts
    fetch(server, target, *steps, Page(body))
    assert target.read_bytes() == body


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_not_there_is_asked_for_once(server, target, status):
    with pytest.raises(NetworkError, match=rf"https://localhost:.*/file.pkl: cannot be downloaded \(HTTP {status} "):
        fetch(server, target, Page(status=status))
    assert len(server.requests) == 1
    assert left_in(target.parent) == []


# --- lies and attacks -----------------------------------------------------------------------------------------------


def test_a_length_beyond_the_limit_is_refused_before_a_byte_is_read(server, target):
    with pytest.raises(NetworkError, match="has 5000000000 bytes or more; at most 4294967296 are downloaded"):
        fetch(server, target, Page(b"begins", announced=5_000_000_000), limits=Limits())
    assert left_in(target.parent) == []


def test_a_stream_without_end_is_cut_off(server, target):
    with pytest.raises(NetworkError, match="at most 1000000 are downloaded"):
        fetch(server, target, Page(BODY, announced=-1), limits=Limits(most_bytes=1_000_000))
    assert left_in(target.parent) == []


def test_a_length_that_is_too_short_ends_the_file_there(server, target):
    """The bytes after it belong to nothing; whether the file is right is for the check to say."""
    fetch(server, target, Page(BODY, announced=HALF))
    assert target.read_bytes() == BODY[:HALF]


def test_a_length_that_is_too_long_is_an_interruption(server, target):
    with pytest.raises(NetworkError, match=f"broke off after {len(BODY)} of {len(BODY) + 5} bytes"):
        fetch(server, target, Page(BODY, announced=len(BODY) + 5, accepts_ranges=False))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_to_https_are_followed(server, target, status):
    server.pages["/elsewhere"] = [Page(BODY)]
    fetch(server, target, Page(status=status, headers={"Location": server.address("/elsewhere")}))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
def test_redirects_to_anything_else_are_refused(server, target, tmp_path, scheme):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with plain_server() as port:
        places = {"http": f"http://127.0.0.1:{port}/file.pkl", "ftp": "ftp://127.0.0.1/x", "file": f"file://{secret}"}
        with pytest.raises(NetworkError, match=r"only https is followed|HTTP 302 .* not allowed"):
            fetch(server, target, Page(status=302, headers={"Location": places[scheme]}))
    assert left_in(target.parent) == []


def test_redirects_in_a_circle_end(server, target):
    with pytest.raises(NetworkError, match="its redirects lead in a circle"):
        fetch(server, target, Page(status=302, headers={"Location": "/file.pkl"}))
    assert len(server.requests) < 20


def test_only_https_is_fetched(target):
    with plain_server() as port, pytest.raises(NetworkError, match="unknown url type: http"):
        download(f"http://127.0.0.1:{port}/file.pkl", target, accept, QUICK)


def test_an_unknown_authority_is_named_with_the_remedy(server, target, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NetworkError, match=r"its certificate is not trusted: self.signed certificate.*SSL_CERT_FILE"):
        fetch(server, target, Page(BODY))
    assert server.requests == []


def test_a_certificate_for_another_host_is_refused(server, target, monkeypatch):
    monkeypatch.delenv("no_proxy")
    with pytest.raises(NetworkError, match=r"certificate is not trusted: Hostname mismatch"):
        download("https://example.com/file.pkl", target, accept, QUICK)


# --- the way to the server ------------------------------------------------------------------------------------------


def test_the_proxy_of_the_environment_is_used(server, target):
    server.pages["/file.pkl"] = [Page(BODY)]
    download("https://dl.fbaipublicfiles.com/file.pkl", target, accept, QUICK)
    assert target.read_bytes() == BODY
    assert server.tunnelled == ["dl.fbaipublicfiles.com"]


def test_hosts_of_no_proxy_are_asked_directly(server, target):
    fetch(server, target, Page(BODY))
    assert server.tunnelled == []


def test_a_machine_without_a_way_out_is_told_at_once(server, target, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(NetworkError, match=r"cannot be downloaded \(.*Connection refused\)$"):
        download("https://dl.fbaipublicfiles.com/file.pkl", target, accept, Limits())


# --- the disk, and other processes ----------------------------------------------------------------------------------


def test_a_full_disk_is_named_and_gets_its_space_back(server, target):
    server.pages["/file.pkl"] = [Page(BODY)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot be written \(File too large\); the disk is full: free some"):
            download(server.address("/file.pkl"), target, accept, QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left_in(target.parent) == []


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "file.pkl", Page(BODY))


def test_of_several_processes_one_fetches_and_the_others_wait(server, target):
    server.pages["/file.pkl"] = [Page(BODY)]
    failures = []

    def work() -> None:
        try:
            download(server.address("/file.pkl"), target, accept, QUICK)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert target.read_bytes() == BODY
    assert len(server.requests) == 1
    assert left_in(target.parent) == ["file.pkl"]


@contextlib.contextmanager
def plain_server() -> Iterator[int]:
    """Serve without TLS, which nobody may ask for a file."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize("validator", ["\u20ac", "a\x00b", "\x7f", ""])
def test_a_validator_that_no_header_can_have_is_of_no_use(server, target, validator):
    """The file of an interrupted download, damaged: it raised at every start."""
    target.parent.mkdir()
    target.with_name(PARTIAL[0]).write_bytes(BODY[:1000])
    target.with_name(PARTIAL[1]).write_text(f"{server.address('/file.pkl')}\n{validator}", encoding="utf-8")
    fetch(server, target, Page(BODY))
    assert target.read_bytes() == BODY
    assert ranges(server) == [None]


@pytest.mark.parametrize("number", ["\xb2", "9" * 5000])
def test_a_length_that_is_no_number_is_none(server, target, number):
    fetch(server, target, Page(BODY, announced=-1, headers={"Content-Length": number}))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("number", ["\xb2", "9" * 5000])
def test_a_pause_that_is_no_number_is_not_kept(server, target, number):
    fetch(server, target, Page(status=503, headers={"Retry-After": number}), Page(BODY))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("place", ["https://[::1", "https://" + "a" * 100 + ".example/x", "https://host:port/"])
def test_a_redirect_to_what_is_no_address_is_one_sentence(server, target, place):
    with pytest.raises(NetworkError, match=r"file\.pkl: is redirected to '.*', which is no address") as failure:
        fetch(server, target, Page(status=302, headers={"Location": place}))
    assert "\n" not in str(failure.value)
