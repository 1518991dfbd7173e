"""One file over HTTP: resumed where it was broken off, never too long, verified.

``NAME.part`` grows, beside ``NAME.part.json``, which says where its bytes come from. ``NAME`` is
complete and has the right checksum.
"""

import hashlib
import http.client
import os
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from ssd_tfrecord.datasets.download.byte_bars import byte_bar, say
from ssd_tfrecord.datasets.download.catalogue import Archive
from ssd_tfrecord.datasets.download.http_connection import (
    BrokenError,
    UnusableError,
    failure,
    open_url,
    whole_number,
)
from ssd_tfrecord.datasets.download.part_file import PartFile
from ssd_tfrecord.errors import InputError

_LONGEST_WAIT = 60.0
_CHUNK = 1 << 18
_WEB_PAGE = re.compile(rb"\s*<(!doctype html|html|head|body|\?xml)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Patience:
    """How long a connection is waited for.

    Attributes:
        timeout: seconds without data after which it counts as broken.
        retries: how often in a row an address is tried again without a new byte.
        pause: seconds before the first of these; doubled before each further one, up to 60.
    """

    timeout: float = 60.0
    retries: int = 5
    pause: float = 1.0


def fetch(
    archive: Archive, urls: Sequence[str], folder: pathlib.Path, patience: Patience
) -> pathlib.Path:
    """Downloads ``archive`` to ``folder``, unless it is already there.

    Args:
        archive: what to download.
        urls: its addresses, each tried where the one before fails.
        folder: where to; what an earlier call has left there is resumed.
        patience: of each address.

    Returns:
        the path of the file, whose checksum is right.

    Raises:
        InputError: no address gives the file, or it cannot be written.
    """
    path = folder / archive.name
    if path.exists():
        if _sha256(path) == archive.sha256:
            return path
        say(f"{path}: has another SHA-256 than {archive.sha256}; it is downloaded again")
        path.unlink()
    reasons = []
    with PartFile(path, archive.num_bytes) as part:
        for url in urls:
            try:
                _complete(part, archive, url, patience)
            except UnusableError as error:
                reasons.append(f"{url}: {error}")
                say(f"{archive.name}: {reasons[-1]}")
                continue
            part.publish()
            return path
    raise InputError(
        f"{archive.name}: cannot be downloaded ({'; '.join(reasons)}); run the same command again "
        "to resume, or set another address with --mirror"
    )


def _complete(part: PartFile, archive: Archive, url: str, patience: Patience) -> None:
    """Downloads the rest of ``part`` and verifies all of it."""
    # Bytes of an earlier run or address: if the whole is wrong, they may be the reason.
    resumed = part.size > 0
    while True:
        with byte_bar(archive.name, archive.num_bytes, part.size) as bar:
            _receive_all(part, archive, url, patience, bar)
        found = _sha256(part.path)
        if found == archive.sha256:
            return
        page = _page_note(part)
        # Gone: the next run would find the same.
        part.discard()
        if not resumed:
            raise UnusableError(
                f"sends another file: its SHA-256 is {found}, must be {archive.sha256}{page}"
            )
        say(f"{archive.name}: has the wrong checksum; it is downloaded from the start")
        resumed = False


def _receive_all(
    part: PartFile, archive: Archive, url: str, patience: Patience, bar: "tqdm[Any]"
) -> None:
    """Downloads the rest of ``part``, over as many connections as it takes."""
    failures, furthest = 0, part.size
    while part.size < archive.num_bytes:
        try:
            _receive(part, archive, url, patience.timeout, bar)
        except BrokenError as error:
            # Only what is new counts: a server may begin from the start each time.
            failures = 0 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            if failures > patience.retries:
                raise UnusableError(f"{error} ({failures} times without new data)") from None
            # Not a whole number: 5,000 failures would make one of as many digits.
            pause = patience.pause * 2.0 ** min(max(failures - 1, 0), 60)
            wait = min(max(pause, error.wait), _LONGEST_WAIT)
            say(f"{archive.name}: {url}: {error}; trying again in {wait:.0f} s")
            time.sleep(wait)


def _receive(part: PartFile, archive: Archive, url: str, timeout: float, bar: "tqdm[Any]") -> None:
    """Downloads the rest of ``part`` over one connection."""
    headers = {}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        # Then a file that has changed comes whole.
        if validator := part.validator(url):
            headers["If-Range"] = validator
    try:
        with open_url(url, headers, timeout) as reply:
            length = _begin(part, archive, url, reply)
            bar.update(part.size - bar.n)
            _copy(part, archive, reply, bar, open_end=length is None)
    except InputError:  # a ValueError, but of our own disk
        raise
    except http.client.HTTPException as error:
        raise failure(error) from None
    except (OSError, ValueError) as error:
        if getattr(error, "code", 0) == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and part.size:
            part.discard()
            raise BrokenError("has fewer bytes than were already received") from None
        raise failure(error) from None


def _begin(part: PartFile, archive: Archive, url: str, reply: Any) -> int | None:
    """Checks what the server announces, and empties ``part`` if it sends the file from the start.

    Returns:
        the length of the whole file that it announces, or None.
    """
    if reply.status == http.client.PARTIAL_CONTENT and part.size:
        length = _check_range(part, url, reply.headers)
    elif reply.status == http.client.OK:
        length = whole_number(reply.headers.get("Content-Length"))
    else:
        raise UnusableError(f"HTTP {reply.status} {reply.reason}")
    if length != archive.num_bytes and reply.headers.get_content_type() == "text/html":
        raise UnusableError("sends a web page (text/html) instead of the file")
    if length not in (None, archive.num_bytes):
        raise UnusableError(
            f"sends another file: it has {length} bytes, must have {archive.num_bytes}"
        )
    # Not before: a page that says "not now" must not cost what was received.
    if reply.status == http.client.OK:
        part.begin(url, reply.headers)
    return length


def _check_range(part: PartFile, url: str, headers: Mapping[str, str]) -> int | None:
    """Checks that the answer goes on where ``part`` ends; returns the length of the whole file."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    if match is None or int(match[1]) != part.size:
        part.discard()
        raise BrokenError("sends other bytes than were asked for")
    # Some servers do not know If-Range.
    if part.has_changed(url, headers):
        part.discard()
        raise BrokenError("the file has changed since the download began")
    return whole_number(match[2])


def _copy(
    part: PartFile, archive: Archive, reply: Any, bar: "tqdm[Any]", *, open_end: bool
) -> None:
    """Appends what the server sends; with ``open_end``, it has not said how much that is."""
    while left := archive.num_bytes - part.size:
        # Not read: that waits until it has all it was asked for, and loses it if it gets less.
        data = reply.read1(min(left, _CHUNK))
        if not data:
            if page := _page_note(part):
                part.discard()
                raise UnusableError(f"sends another file{page}")
            raise BrokenError(f"closed the connection after {part.size} of {bar.total} bytes")
        part.append(data)
        bar.update(len(data))
    if open_end and _sends_more(reply):
        part.discard()
        raise UnusableError(f"sends another file: it has more than {archive.num_bytes} bytes")


def _sends_more(reply: Any) -> bool:
    try:
        return bool(reply.read1(1))
    except (OSError, http.client.HTTPException):
        return False


def _sha256(path: pathlib.Path) -> str:
    """The checksum of the file, in hexadecimal."""
    digest = hashlib.sha256()
    with (
        open(path, "rb") as file,
        byte_bar(f"checking {path.name}", os.path.getsize(path), leave=False) as bar,
    ):
        while data := file.read(1 << 20):
            digest.update(data)
            bar.update(len(data))
    return digest.hexdigest()


def _page_note(part: PartFile) -> str:
    """What to say of a file that looks like a web page: of a login, of an error."""
    head = part.head()
    if not _WEB_PAGE.match(head):
        return ""
    text = " ".join(head[:200].decode("utf-8", "replace").split())[:80]
    return f"; it looks like a web page: {text!r}"
