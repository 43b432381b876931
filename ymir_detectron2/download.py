"""Download a file over https: resumed where it broke off, retried, limited in size, checked before it gets its name.

    <folder>/.partial-R-50.pkl            what has come so far; kept for the next start when the connection fails
    <folder>/.partial-R-50.pkl.version    its address, and the validator (ETag or Last-Modified) of this version
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, Callable, Iterator

from .atomic_file import is_at, replace_durably
from .errors import ExecutorError, NetworkError, StorageError, briefly
from .untrusted_files import open_own, read_regular

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_SLOWEST_BYTES_PER_S = 1024
_PROGRESS_BYTES = 1 << 20  # an attempt that brought as much is no failure: the connection works, if not for long
_LONGEST_PAUSE_S = 60.0
_MAX_VERSION_BYTES = 1 << 16
_TRANSIENT_STATUS = (408, 416, 425, 429, 500, 502, 503, 504)
_NUMBER = re.compile(r"[0-9]{1,18}")  # of digits as "²" or of thousands of them, Python makes no number
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]{1,18})$")


@dataclass(frozen=True)
class Limits:
    """What a server may ask of us."""

    timeout_s: float = 30.0
    """Without a byte, or with less than a kilobyte a second."""
    most_bytes: int = 4 << 30
    """Far above any detector of detectron2's model zoo."""
    attempts: int = 5
    """In a row that bring nothing."""
    pause_s: float = 1.0
    """Before the second attempt; twice as long before each further one, unless the server says how long."""


def download(address: str, target: Path, check: Callable[[Path], None], limits: Limits = Limits()) -> None:
    """Download a file, unless another process does so at the same time: then wait for it.

    Args:
        address: https://...; redirects are followed to https only.
        target: gets the file once it is complete and checked.
        check: gets the complete file under a temporary name with the suffix of `target`, and raises if it is wrong.

    Raises:
        NetworkError: not to be had, too large, or not over https; one sentence without a remedy.
        StorageError: the folder cannot be written, or the disk is full.
        ExecutorError: of `check`; nothing is kept.
    """
    with _open_partial(target) as partial:
        if target.is_file():  # while we waited for the lock
            partial.remove()
            return
        is_complete = False
        try:
            _fetch_all(address, partial, limits)
            is_complete = True
            check(partial.path)
            partial.finish(target)
        except ExecutorError as error:
            # a broken connection leaves a beginning that is worth keeping; a full disk needs the space
            if is_complete or not isinstance(error, NetworkError) or not partial.validator_for(address):
                partial.remove()
            raise


class _Partial:
    """The beginning of a file, and which version of the file it belongs to."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._file = file
        self._version_file = path.with_name(f"{path.name}.version")

    @property
    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def validator_for(self, address: str) -> str:
        """Return the validator of the version that the bytes are of; '' where they are of no use."""
        try:
            known, validator = read_regular(self._version_file, _MAX_VERSION_BYTES).decode("utf-8").split("\n")
        except (OSError, ValueError):  # none, or torn by a power cut
            return ""
        # whatever else is in the file would not pass as the value of a header
        is_of_use = known == address and self.size and validator.isascii() and validator.isprintable()
        return validator if is_of_use else ""

    def restart(self, address: str = "", validator: str = "") -> None:
        """Forget the bytes; those that follow are of this version."""
        with self._storage_errors():
            self._file.truncate(0)
            self._version_file.write_text(f"{address}\n{validator}", encoding="utf-8")

    def append(self, chunk: bytes) -> None:
        with self._storage_errors():
            while chunk:  # an unbuffered file may take less, as where a limit of the file size begins
                chunk = chunk[self._file.write(chunk) :]

    def finish(self, target: Path) -> None:
        """Give the file its name; whatever has the name is whole, after a power cut as well."""
        with self._storage_errors():
            replace_durably(self._file, self.path, target)
        self.remove()

    def remove(self) -> None:
        for path in (self.path, self._version_file):
            with contextlib.suppress(OSError):  # there is none; or it stays, as in a folder that became read-only
                path.unlink()

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError.from_os_error(self.path, error) from error


@contextlib.contextmanager
def _open_partial(target: Path) -> Iterator[_Partial]:
    """Open what has come so far, and lock it: processes of one training, or several tasks, start from the same file."""
    path = target.with_name(f".partial-{target.name}")
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "ab", buffering=0, opener=open_own)  # noqa: SIM115 - closed below
        except OSError as error:
            raise StorageError.from_os_error(path, error) from error
        with file:
            with contextlib.suppress(OSError):  # a network file system without locks: the check has to do
                fcntl.flock(file, fcntl.LOCK_EX)
            # whoever had the lock may have renamed or removed the file that we have waited for
            if is_at(file.fileno(), path):
                yield _Partial(path, file)
                return


def _fetch_all(address: str, partial: _Partial, limits: Limits) -> None:
    """Fetch the rest of the file in as many attempts as it takes, as long as they bring something."""
    failures, has_begun = 0, False
    while True:
        before = partial.size
        try:
            _fetch(address, partial, limits)
            return
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            has_begun = has_begun or partial.size > before
            failures = 1 if partial.size - before >= _PROGRESS_BYTES else failures + 1
            pause_s = _pause_s(error, failures, limits)
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if failures >= limits.attempts or not _may_pass(error, has_begun):
                tries = f" in {failures} attempts" if failures > 1 else ""
                raise NetworkError(f"{address}: cannot be downloaded{tries} ({_reason(error, limits)})") from error
            logger.warning(
                "%s: %s; trying again in %g s, from byte %d", address, _reason(error, limits), pause_s, partial.size
            )
            time.sleep(pause_s)


def _fetch(address: str, partial: _Partial, limits: Limits) -> None:
    """Append what one connection brings.

    Raises:
        OSError, http.client.HTTPException: something is still missing.
    """
    validator = partial.validator_for(address)
    headers = {"Range": f"bytes={partial.size}-", "If-Range": validator} if validator else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - the opener knows nothing but https
    try:
        response = _opener().open(request, timeout=limits.timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{partial.size}":  # we had been stopped before the renaming
            error.close()
            return
        partial.restart()
        raise
    with response:
        size = _prepare(response, address, validator, partial, limits)
        _receive(response, size, partial, limits)


def _prepare(response: Any, address: str, validator: str, partial: _Partial, limits: Limits) -> int | None:
    """Decide whether the answer continues what is there, and return the size of the whole file, if it is announced."""
    answered = _validator(response.headers)
    length = response.headers.get("Content-Length", "")
    size = int(length) if _NUMBER.fullmatch(length) else None
    if response.status == 206:
        match = _RANGE.match(response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != partial.size or answered not in ("", validator):
            partial.restart()
            raise http.client.HTTPException("the file was replaced meanwhile")
        size = int(match[2])
    else:  # the whole file: a new version, or a server that knows no ranges
        partial.restart(address, answered)
    if size is not None and size > limits.most_bytes:
        raise _too_large(address, partial, size, limits)
    return size


def _receive(response: Any, size: int | None, partial: _Partial, limits: Limits) -> None:
    """Append the body of an answer; `size` is that of the whole file."""
    window_end_s, window_size = time.monotonic() + limits.timeout_s, partial.size
    while size is None or partial.size < size:
        # read1 returns what is there: with `read`, a server that sends in drops would hold us for hours
        chunk = response.read1(_CHUNK_BYTES if size is None else min(_CHUNK_BYTES, size - partial.size))
        if not chunk:
            break
        partial.append(chunk)
        if partial.size > limits.most_bytes:
            raise _too_large(response.url, partial, partial.size, limits)
        if time.monotonic() > window_end_s:
            if partial.size - window_size < _SLOWEST_BYTES_PER_S * limits.timeout_s:
                raise TimeoutError
            window_end_s, window_size = time.monotonic() + limits.timeout_s, partial.size
    if size is not None and partial.size < size:  # http.client takes a broken connection for the end
        raise http.client.HTTPException(f"broke off after {partial.size} of {size} bytes")


def _too_large(address: str, partial: _Partial, size: int, limits: Limits) -> NetworkError:
    partial.remove()
    return NetworkError(f"{address}: has {size} bytes or more; at most {limits.most_bytes} are downloaded")


def _validator(headers: Message) -> str:
    """Return what names this version of the file; '' where the server gives nothing that If-Range takes."""
    etag = headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")


def _pause_s(error: Exception, failures: int, limits: Limits) -> float:
    asked = error.headers.get("Retry-After", "") if isinstance(error, urllib.error.HTTPError) else ""
    pause_s = float(asked) if _NUMBER.fullmatch(asked) else limits.pause_s * 2 ** (failures - 1)
    return min(pause_s, _LONGEST_PAUSE_S)


def _may_pass(error: Exception, has_begun: bool) -> bool:
    """Return whether another attempt may succeed."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _TRANSIENT_STATUS
    if isinstance(error, urllib.error.URLError):
        # no connection at all: most machines of the platform have no way out, and are told so at once
        return has_begun and not isinstance(error.reason, ssl.SSLCertVerificationError)
    return True


def _reason(error: Exception, limits: Limits) -> str:
    """Return what happened, on one line."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(error, urllib.error.HTTPError):
        if error.code in (301, 302, 303, 307, 308) and "infinite loop" in str(error.reason):
            return "its redirects lead in a circle"
        return f"HTTP {error.code} {' '.join(str(error.reason).split())}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}; SSL_CERT_FILE names a file of authorities"
    if isinstance(cause, (TimeoutError, socket.timeout)):  # one and the same since Python 3.10
        return f"too little came for {limits.timeout_s:g} s"
    return " ".join(str(cause).split()) or type(cause).__name__


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to https: over http, anybody on the way could change the file."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.lower().startswith("https://"):
            fp.close()
            raise NetworkError(f"{req.full_url}: is redirected to {newurl}; only https is followed")
        return super().redirect_request(req, fp, 307 if code == 308 else code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        place = headers.get("Location", "")
        try:
            parts = urllib.parse.urlsplit(urllib.parse.urljoin(req.full_url, place))
            # both raise: of a port that is no number, and of a name that is too long
            parts.port, (parts.hostname or "").encode("idna")
        except ValueError as error:
            fp.close()
            raise NetworkError(f"{req.full_url}: is redirected to {briefly(place)}, which is no address") from error
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302  # 308: unknown before 3.11


def _opener() -> urllib.request.OpenerDirector:
    """Build an opener that knows https and nothing else, through the proxies of https_proxy and no_proxy."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(), urllib.request.HTTPSHandler(), _HttpsRedirects(),
        urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler(),
    ):  # fmt: skip
        opener.add_handler(handler)
    return opener
