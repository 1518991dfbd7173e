"""A connection to a server: how it is opened, and what its failures mean."""

import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ssd_tfrecord import __version__

# What a server says that is overloaded, or stands before one that is down.
_PASSING = {408, 425, 429, 500, 502, 503, 504}


class TransferError(Exception):
    """Why a transfer ended; ``wait`` is how many seconds later the server asks to be called."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        # A server chooses its words, and could send commands to the terminal.
        words = "".join(mark if mark.isprintable() else " " for mark in text).split()
        super().__init__(" ".join(words)[:500])
        self.wait = wait


class UnusableError(TransferError):
    """This address does not give the file."""


class BrokenError(TransferError):
    """The connection broke, or the server is busy: it may work later."""


def open_url(url: str, headers: dict[str, str], timeout: float) -> Any:
    """Sends a GET request.

    Args:
        url: an http or https address.
        headers: more headers of the request.
        timeout: seconds without data after which the connection counts as broken.

    Returns:
        the answer, an ``http.client.HTTPResponse`` of a status from 200 to 299.

    Raises:
        OSError: as does ``urllib.request``; ``failure`` says what it means.
        http.client.HTTPException: likewise.
        ValueError: likewise.
        UnusableError: it redirects to what is not HTTP.
    """
    given = {"User-Agent": f"ssd_tfrecord/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**given, **headers})
    try:
        return _OPENER.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        # Its page is not read: it may be endless.
        error.close()
        raise


def failure(error: Exception) -> BrokenError | UnusableError:
    """What an error means that came while a connection was opened or read."""
    if isinstance(error, urllib.error.HTTPError):
        return _of_status(error)
    if isinstance(error, ValueError):  # what it redirects to is no address
        return UnusableError(str(error))
    # urllib wraps what happens before the answer, but not what happens while it is read.
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UnusableError(f"its certificate cannot be verified: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return BrokenError("no data for too long (see --timeout)")
    return BrokenError(str(reason) or type(reason).__name__)


def whole_number(text: str | None) -> int | None:
    """A header's number, or None if it is none."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def _of_status(error: urllib.error.HTTPError) -> BrokenError | UnusableError:
    text = f"HTTP {error.code} {error.msg}"
    if error.code in _PASSING:
        return BrokenError(text, wait=whole_number(error.headers.get("Retry-After")) or 0.0)
    if 300 <= error.code < 400:
        return UnusableError(f"HTTP {error.code}: redirects in a circle, too often or to nowhere")
    return UnusableError(text)


class _Redirections(urllib.request.HTTPRedirectHandler):
    """Follows a few redirections, to http and https only."""

    max_redirections = 5
    # Python 3.10 does not know it.
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request:
        """The request to follow, with the headers of the one before."""
        # urllib would read the answer to its end, which need not come.
        fp.close()
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise UnusableError(f"redirects to {newurl!r}; must be http or https")
        return urllib.request.Request(newurl.replace(" ", "%20"), headers=dict(req.headers))


# Verifies certificates, and takes proxies from the environment.
_OPENER = urllib.request.build_opener(_Redirections)
