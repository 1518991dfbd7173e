"""One file over a connection that breaks, stalls and lies: the right bytes, or one line."""

import json
import shutil
import ssl
import subprocess
import threading
import urllib.parse

import numpy as np
import pytest

from ssd_tfrecord.datasets.download import http_transfer
from ssd_tfrecord.datasets.download.http_transfer import Patience
from ssd_tfrecord.errors import InputError

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
HTML = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>"
QUICK = Patience(timeout=30, retries=2, pause=0)


class Download:
    """The file data.tar, which ``server`` has, and where it is downloaded to."""

    def __init__(self, server, folder, archive_of):
        self.server, self.folder = server, folder
        self.url = f"{server.url}/data.tar"
        self.archive = archive_of("data.tar", CONTENT)
        self.part, self.state = folder / "data.tar.part", folder / "data.tar.part.json"
        server.files["/data.tar"] = CONTENT

    def fetch(self, *urls, patience=QUICK):
        return http_transfer.fetch(self.archive, urls or (self.url,), self.folder, patience)

    def refused(self, *urls, patience=QUICK):
        """The error's text; nothing has the final name, and what was received is no longer."""
        with pytest.raises(InputError) as caught:
            self.fetch(*urls, patience=patience)
        assert "\n" not in str(caught.value)
        assert not (self.folder / "data.tar").exists()
        assert self.part.stat().st_size <= len(CONTENT)
        return str(caught.value)

    def left(self, num_bytes, *, content=CONTENT, etag='"v1"', date="", url=None):
        """What an earlier run has left."""
        self.part.write_bytes(content[:num_bytes])
        state = {"url": url or self.url, "etag": etag, "last_modified": date}
        self.state.write_text(json.dumps(state))

    def assert_whole(self):
        assert (self.folder / "data.tar").read_bytes() == CONTENT
        assert [path.name for path in self.folder.iterdir()] == ["data.tar"]


@pytest.fixture
def download(server, tmp_path, archive_of):
    return Download(server, tmp_path, archive_of)


def test_whole_file_in_one_request(download, server):
    assert download.fetch() == download.folder / "data.tar"
    download.assert_whole()
    assert server.ranges() == [None]
    assert server.asked[0]["user-agent"].startswith("ssd_tfrecord/")
    assert download.fetch() == download.folder / "data.tar"
    assert len(server.asked) == 1


@pytest.mark.parametrize("end", ["close", "reset"])
def test_goes_on_where_the_connection_broke_however_often(download, server, end):
    stops = [1, 70_000, 70_001, 250_000, 299_999]
    server.script = [server.serving(stop, end=end) for stop in stops]
    # No retry without progress is needed: each connection brought something new.
    download.fetch(patience=Patience(timeout=30, retries=0, pause=0))
    download.assert_whole()
    if end == "close":
        assert server.ranges() == [None, *(f"bytes={stop}-" for stop in stops)]
        assert {headers.get("if-range") for headers in server.asked[1:]} == {'"v1"'}
    else:  # a reset also destroys what was still under way
        assert server.ranges()[-1] is not None


def test_stalled_connection_counts_as_broken(download, server, capsys):
    server.script = [server.serving(1000, end="stall")]
    download.fetch(patience=Patience(timeout=0.3, retries=5, pause=0))
    download.assert_whole()
    assert server.ranges()[:2] == [None, "bytes=1000-"]
    assert "no data for too long (see --timeout); trying again in 0 s" in capsys.readouterr().err


def test_gives_up_after_tries_without_progress(download, server):
    server.always = server.serving(100)
    text = download.refused()
    # Twice from 0 to 100 would be progress; from 100 on nothing comes.
    assert "closed the connection after 100 of 300000 bytes (3 times without new data)" in text
    assert server.ranges() == [None, *["bytes=100-"] * 3]
    assert "run the same command again to resume, or set another address with --mirror" in text


def test_waits_are_doubled_and_bounded(download, server, monkeypatch):
    waits = []
    monkeypatch.setattr(http_transfer.time, "sleep", waits.append)
    server.always = server.saying(503)
    download.refused(patience=Patience(retries=8))
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    waits.clear()
    server.always = server.saying(429, Retry_After="7")
    download.refused(patience=Patience(retries=3))
    assert waits == [7, 7, 7]
    waits.clear()
    server.always = server.saying(503, Retry_After="999999999999")
    download.refused(patience=Patience(retries=1))
    assert waits == [60]


def test_server_without_ranges_begins_again(download, server):
    server.script = [
        server.serving(5000),
        server.serving(9000, ranges=False),
        server.serving(ranges=False),
    ]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None, "bytes=5000-", "bytes=9000-"]


def test_server_without_ranges_that_breaks_at_the_same_place_is_given_up(download, server):
    server.always = server.serving(5000, ranges=False)
    assert "3 times without new data" in download.refused()
    assert len(server.asked) == 4


def test_server_without_ranges_that_breaks_now_earlier_now_later_is_given_up(download, server):
    server.always = lambda handler, data: server.serving(
        5000 if len(server.asked) % 2 else 3000, ranges=False
    )(handler, data)
    assert "3 times without new data" in download.refused()
    assert len(server.asked) == 4


@pytest.mark.parametrize("if_range", [True, False], ids=["If-Range", "no If-Range"])
def test_file_that_changes_meanwhile_is_begun_again(download, server, if_range):
    """The beginning is of another file: appended to it, the rest would be wrong."""
    server.script = [server.serving(5000, content=OTHER, etag='"old"')]
    server.always = server.serving(etag='"new"', date="other", if_range=if_range)
    download.fetch(patience=Patience(timeout=30, retries=1, pause=0))
    download.assert_whole()
    assert server.asked[1]["if-range"] == '"old"'
    assert server.ranges() == [None, "bytes=5000-", *([] if if_range else [None])]


@pytest.mark.parametrize(
    ("etag", "date", "sent"),
    [
        ('"a"', "yesterday", '"a"'),
        ('W/"a"', "yesterday", "yesterday"),
        ('W/"a"', None, None),
        (None, "yesterday", "yesterday"),
        (None, None, None),
    ],
)
def test_if_range_has_the_strongest_proof_there_is(download, server, etag, date, sent):
    server.script = [server.serving(5000, etag=etag, date=date)]
    server.always = server.serving(etag=etag, date=date)
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None, "bytes=5000-"]
    assert server.asked[1].get("if-range") == sent


def test_next_run_resumes_what_this_one_left(download, server):
    server.always = server.serving(120_000)
    download.refused()
    server.always, server.asked = server.serving(), []
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=120000-"]
    assert server.asked[0]["if-range"] == '"v1"'


def test_bytes_that_are_all_there_are_only_verified(download, server):
    download.left(len(CONTENT))
    download.fetch()
    download.assert_whole()
    assert server.asked == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda download: download.state.unlink(),
        lambda download: download.state.write_text("{"),
        lambda download: download.state.write_text("[1]"),
        lambda download: download.state.write_text('{"url": 7}'),
        lambda download: download.part.write_bytes(CONTENT + b"more"),
    ],
    ids=["no state", "half a state", "a list", "a number", "too long"],
)
def test_part_of_unknown_origin_is_not_appended_to(download, server, spoil, capsys):
    download.left(1000, content=OTHER)
    spoil(download)
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None]
    assert "wrong checksum" not in capsys.readouterr().err


def test_wrong_beginning_is_found_by_the_checksum_and_begun_again(download, server, capsys):
    download.left(1000, content=OTHER)
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=1000-", None]
    assert "data.tar: has the wrong checksum; it is downloaded from the start" in (
        capsys.readouterr().err
    )


def test_wrong_file_is_named_and_does_not_stay(download, server, archive_of):
    server.always = server.serving(content=OTHER)
    text = download.refused()
    expected, came = download.archive.sha256, archive_of("x", OTHER).sha256
    assert f"{download.url}: sends another file: its SHA-256 is {came}, must be {expected}" in text
    assert "web page" not in text
    assert (download.part.stat().st_size, download.state.exists()) == (0, False)
    server.always, server.asked = server.serving(), []
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None]


@pytest.mark.parametrize("length", [299_999, 300_001, 64, 10**17])
def test_another_length_is_refused_before_it_is_received(download, server, length):
    download.left(5000)
    server.always = server.saying(200, b"x" * 64, Content_Length=length)
    assert f"it has {length} bytes, must have 300000" in download.refused()
    assert len(server.asked) == 1
    # What was received before is kept: it is of the right file.
    assert download.part.read_bytes() == CONTENT[:5000]


def test_without_a_length_the_end_is_the_end(download, server):
    server.script = [
        server.saying(200, CONTENT[:400], Content_Length=None),
        server.saying(200, CONTENT, Content_Length=None),
    ]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None, "bytes=400-"]


def endless(chunked):
    def answer(handler, data):
        handler.send_response(200)
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        block = b"y" * 65536
        while not handler.closing.is_set():
            handler.wfile.write(b"10000\r\n" + block + b"\r\n" if chunked else block)

    return answer


@pytest.mark.parametrize("chunked", [True, False])
def test_endless_body_is_cut_at_the_size_that_is_known(download, server, chunked, monkeypatch):
    sizes = []
    append = http_transfer.PartFile.append
    monkeypatch.setattr(
        http_transfer.PartFile,
        "append",
        lambda part, data: (append(part, data), sizes.append(part.path.stat().st_size)),
    )
    server.always = endless(chunked)
    assert "sends another file: it has more than 300000 bytes" in download.refused()
    assert max(sizes) == len(CONTENT)
    assert download.part.stat().st_size == 0
    assert len(server.asked) == 1


def test_longer_body_than_its_length_is_cut(download, server):
    server.always = server.saying(200, CONTENT + b"more", Content_Length=len(CONTENT))
    download.fetch()
    download.assert_whole()


def test_chunked_body_is_received_and_may_break(download, server):
    def answer(handler, data):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"1388\r\n" + CONTENT[:5000] + b"\r\nffff\r\n" + CONTENT[5000:6000])

    server.script = [answer]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None, "bytes=6000-"]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ({"Content_Type": "text/html; charset=utf-8"}, "sends a web page (text/html) instead of"),
        (
            {"Content_Type": "text/html", "Content_Length": None},
            "sends a web page (text/html) instead of",
        ),
        (
            {"Content_Length": None},
            "sends another file; it looks like a web page: "
            "'<!DOCTYPE html> <html><head><title>Log in</title></head></html>'",
        ),
    ],
    ids=["its type", "its type, no length", "its content"],
)
def test_web_page_is_recognised(download, server, answer, note):
    server.always = server.saying(200, HTML, **answer)
    assert note in download.refused()
    assert len(server.asked) == 1


def test_web_page_of_the_right_length_is_recognised(download, server):
    server.always = server.serving(content=HTML.ljust(len(CONTENT)))
    assert "; it looks like a web page: '<!DOCTYPE html> <html>" in download.refused()
    assert download.part.stat().st_size == 0


def test_page_of_a_login_does_not_cost_what_was_received(download, server):
    download.left(5000)
    server.script = [server.saying(200, HTML, Content_Type="text/html", Content_Length=None)]
    download.refused()
    assert download.part.read_bytes() == CONTENT[:5000]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501, 204, 206])
def test_status_that_stays_is_not_tried_again(download, server, status):
    server.always = server.saying(status, HTML)
    assert f"{download.url}: HTTP {status} " in download.refused()
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_status_that_passes_is_tried_again(download, server, status):
    server.script = [server.saying(status, HTML)] * 2
    download.fetch()
    download.assert_whole()
    assert len(server.asked) == 3


def test_passing_errors_do_not_cost_what_was_received(download, server):
    server.script = [server.serving(5000), server.saying(503), server.saying(503)]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == [None, *["bytes=5000-"] * 3]


def test_416_begins_again(download, server):
    download.left(1000)
    server.script = [server.saying(416)]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=1000-", None]
    server.always = server.saying(416)
    (download.folder / "data.tar").unlink()
    assert "HTTP 416" in download.refused()


@pytest.mark.parametrize(
    "span", ["bytes 0-299999/300000", "bytes 999-299999/300000", "bytes */300000", "pages 1", ""]
)
def test_other_bytes_than_asked_for_are_not_appended(download, server, span, capsys):
    download.left(1000)
    server.script = [server.saying(206, OTHER[1000:], Content_Range=span)]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=1000-", None]
    said = capsys.readouterr().err
    assert "sends other bytes than were asked for" in said and "wrong checksum" not in said


def test_range_of_a_file_of_another_length_is_refused(download, server):
    download.left(1000)
    server.always = server.saying(206, OTHER, Content_Range="bytes 1000-300999/301000")
    assert "it has 301000 bytes, must have 300000" in download.refused()
    assert download.part.read_bytes() == CONTENT[:1000]


def test_range_that_ends_early_or_does_not_say_the_length_goes_on(download, server):
    download.left(1000)
    server.script = [
        server.saying(206, CONTENT[1000:1500], Content_Range="bytes 1000-1499/300000"),
        server.saying(206, CONTENT[1500:], Content_Range="bytes 1500-299999/*"),
    ]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=1000-", "bytes=1500-"]


def test_next_address_goes_on_and_the_bad_ones_are_named(download, server, capsys):
    server.files["/second/data.tar"] = CONTENT
    download.left(4000, url="http://gone/data.tar")
    server.script = [server.saying(404)]
    download.fetch(download.url, f"{server.url}/second/data.tar")
    download.assert_whole()
    assert [headers["path"] for headers in server.asked] == ["/data.tar", "/second/data.tar"]
    # An ETag is of one server only.
    assert server.ranges() == ["bytes=4000-"] * 2
    assert not any("if-range" in headers for headers in server.asked)
    assert f"data.tar: {download.url}: HTTP 404 Not Found" in capsys.readouterr().err


def test_bytes_of_two_addresses_that_do_not_fit_are_begun_again(download, server):
    server.script = [server.serving(4000, content=OTHER), *[server.saying(503)] * 3]
    server.files["/second/data.tar"] = CONTENT
    download.fetch(download.url, f"{server.url}/second/data.tar")
    download.assert_whole()
    assert server.ranges()[-2:] == ["bytes=4000-", None]


def test_all_addresses_are_in_the_error(download, server):
    server.script = [server.saying(404), server.saying(403)]
    text = download.refused(f"{server.url}/a/data.tar", f"{server.url}/b/data.tar")
    assert text.startswith(
        f"data.tar: cannot be downloaded ({server.url}/a/data.tar: HTTP 404 Not Found; "
        f"{server.url}/b/data.tar: HTTP 403 Forbidden); "
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirection_is_followed_with_the_range(download, server, status):
    server.files["/moved/data.tar"] = CONTENT
    download.left(1000)
    server.script = [server.saying(status, b"moved", Location=f"{server.url}/moved/data.tar")]
    download.fetch()
    download.assert_whole()
    assert server.ranges() == ["bytes=1000-"] * 2
    assert server.asked[1]["path"] == "/moved/data.tar"
    assert server.asked[1]["if-range"] == '"v1"'


def test_relative_redirection_is_followed(download, server):
    server.files["/moved/data.tar"] = CONTENT
    server.script = [server.saying(302, Location="moved/data.tar")]
    download.fetch()
    download.assert_whole()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://host/data.tar", "redirects to 'ftp://host/data.tar'; must be http or https"),
        ("file:///etc/passwd", "HTTP 302: redirects in a circle, too often or to nowhere"),
        ("", "HTTP 302: redirects in a circle, too often or to nowhere"),
        ("/data.tar", "HTTP 302: redirects in a circle, too often or to nowhere"),
        ("http://a..b/data.tar", ""),
        ("http://[/data.tar", ""),
    ],
)
def test_redirection_to_nowhere_is_refused(download, server, location, message):
    server.always = server.saying(302, Location=location or None)
    assert message in download.refused(patience=Patience(timeout=30, retries=0))


def test_ever_new_redirections_are_refused(download, server):
    server.always = lambda handler, data: server.send(
        handler, 302, Location=f"{server.url}/{len(server.asked)}"
    )
    assert "redirects in a circle, too often or to nowhere" in download.refused()
    assert len(server.asked) == 6


def test_endless_page_of_a_redirection_is_not_read(download, server):
    def answer(handler, data):
        handler.send_response(302)
        handler.send_header("Location", f"{server.url}/moved/data.tar")
        handler.end_headers()
        while not handler.closing.is_set():
            handler.wfile.write(b"z" * 65536)

    server.files["/moved/data.tar"] = CONTENT
    server.script = [answer]
    download.fetch()
    download.assert_whole()


@pytest.mark.parametrize(
    "rubbish", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999 + b"\r\n\r\n"]
)
def test_what_is_not_http_is_tried_again(download, server, rubbish):
    server.script = [lambda handler, data: handler.wfile.write(rubbish)]
    download.fetch()
    download.assert_whole()


def test_words_of_a_server_do_not_reach_the_terminal(download, server):
    line = b"HTTP/1.1 404 No\x1b[2J \x9b1A" + b"o" * 999 + b"\r\n\r\n"
    server.always = lambda handler, data: handler.wfile.write(line)
    text = download.refused()
    assert "HTTP 404 No [2J 1Aooo" in text and text.isprintable()
    assert len(text) < 800


def test_address_where_nobody_listens(download, server):
    server.close()
    text = download.refused()
    assert "Connection refused (3 times without new data)" in text


def test_damaged_file_of_the_final_name_is_downloaded_again(download, capsys):
    (download.folder / "data.tar").write_bytes(OTHER)
    download.fetch()
    download.assert_whole()
    assert "data.tar: has another SHA-256 than" in capsys.readouterr().err


def test_folder_that_cannot_be_written_is_a_line(download):
    download.part.mkdir()
    with pytest.raises(InputError, match=r"data.tar.part: cannot be written: Is a directory; "):
        download.fetch()


def test_certificate_that_nobody_vouches_for_is_refused(download, tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("keys")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    words = [*words.split(), "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    server = type(download.server)()
    sockets = server._server.socket
    server._server.socket = context.wrap_socket(sockets, server_side=True)
    try:
        url = urllib.parse.urlsplit(server.url)._replace(scheme="https").geturl() + "/data.tar"
        assert "its certificate cannot be verified: self" in download.refused(url)
    finally:
        threading.Thread(target=server.close, daemon=True).start()
    assert server.asked == []
