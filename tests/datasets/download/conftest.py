"""A file server that does what a test tells it, and small data sets to download from it."""

import contextlib
import hashlib
import http.server
import io
import re
import socket
import struct
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from ssd_tfrecord.datasets.download.catalogue import Archive, Dataset, Part

ETAG, DATE = '"v1"', "Sat, 01 Jan 2022 00:00:00 GMT"
VOC = "VOCdevkit/VOC2007"


class Server:
    """Serves ``files`` {path: bytes} with ranges and ETags.

    Attributes:
        files: what there is.
        script: functions of (handler, bytes) that answer the coming requests, one each.
        always: answers a request for which ``script`` has nothing.
        asked: headers of each request, their names in lower case, and its "path".
    """

    def __init__(self):
        self.files, self.script, self.always, self.asked = {}, [], self.serving(), []
        self.closing = threading.Event()
        state = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            closing = self.closing

            def do_GET(self):
                self.close_connection = True
                headers = {name.lower(): value for name, value in self.headers.items()}
                state.asked.append({**headers, "path": self.path})
                answer = state.script.pop(0) if state.script else state.always
                # The client is gone once it has seen enough.
                with contextlib.suppress(ConnectionError):
                    answer(self, state.files.get(self.path, b""))

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def ranges(self):
        """The Range of each request so far, or None."""
        return [headers.get("range") for headers in self.asked]

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def send(handler, status, body=b"", **headers):
        """Sends an answer. Content-Length is that of ``body`` if it is not given; None: none."""
        handler.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def saying(status, body=b"", **headers):
        """An answer that is always the same."""
        return lambda handler, data: Server.send(handler, status, body, **headers)

    @staticmethod
    def serving(
        stop_at=None, *, end="close", etag=ETAG, date=DATE, content=None, if_range=True, ranges=True
    ):
        """A correct answer, which ends early once the bytes up to ``stop_at`` are out.

        Args:
            stop_at: a position in the file.
            end: what comes then: "close", "reset" or "stall".
            etag: of the file; None: none.
            date: of the file; None: none.
            content: the file, if not that of ``files``.
            if_range: whether the server knows that header.
            ranges: whether it knows ranges.
        """

        def answer(handler, data):
            whole = data if content is None else content
            condition = handler.headers.get("If-Range") if if_range else None
            match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
            headers = {"ETag": etag, "Last_Modified": date}
            status, start = 200, 0
            if ranges and match and condition in (None, etag, date):
                status, start = 206, int(match[1])
                headers["Content_Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
            if start >= len(whole):
                Server.send(handler, 416)
                return
            length = len(whole) - start
            Server.send(handler, status, whole[start:stop_at], **headers, Content_Length=length)
            handler.wfile.flush()
            if end == "stall":
                handler.closing.wait(60)
            elif end == "reset":
                linger = struct.pack("ii", 1, 0)
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.connection.close()

        return answer


@pytest.fixture
def server(monkeypatch):
    """A Server, to which no proxy leads."""
    monkeypatch.setenv("NO_PROXY", "*")
    running = Server()
    yield running
    running.close()


def tar_bytes(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def archive_of():
    """A function that makes the catalogue's entry for a file of certain bytes."""

    def make(name, content, *urls, folder=VOC, max_members=20, max_bytes=400_000):
        digest = hashlib.sha256(content).hexdigest()
        return Archive(name, len(content), digest, urls, folder, max_members, max_bytes)

    return make


def noise(seed, num_bytes):
    return np.random.default_rng(seed).bytes(num_bytes)


VOC_FILES = {
    "a.tar": {f"{VOC}/JPEGImages/1.jpg": noise(1, 150_000), f"{VOC}/Annotations/1.xml": b"<a/>"},
    "b.tar": {f"{VOC}/JPEGImages/2.jpg": noise(2, 90_000), "VOCdevkit/stray.txt": b"outside"},
}
COCO_FILES = {
    "labels.zip": {"annotations/val.json": b"{}" * 9_000, "annotations/more.json": b"[]"},
    "val.zip": {"val/1.jpg": noise(3, 50_000)},
}


@pytest.fixture
def datasets(server, archive_of):
    """The tiny data sets {name: Dataset} that ``server`` has, named as in the catalogue."""

    def archive(name, files, folder):
        content = (zip_bytes if name.endswith("zip") else tar_bytes)(files)
        server.files[f"/{name}"] = content
        return archive_of(name, content, f"{server.url}/{name}", folder=folder)

    voc = tuple(archive(name, files, VOC) for name, files in VOC_FILES.items())
    labels, val = (
        Part(folder, f"coco/{folder}", (archive(name, COCO_FILES[name], folder),))
        for name, folder in (("labels.zip", "annotations"), ("val.zip", "val"))
    )
    return {
        "voc2007": Dataset((Part("VOC2007", VOC, voc),), ((("VOC2007",), "convert {root}/VOC"),)),
        "coco2017": Dataset((labels, val), ((("annotations", "val"), "convert {root}/coco"),)),
    }


@pytest.fixture(scope="session")
def unpacked():
    """What lies below the output folder {path: bytes}, once each tiny data set is there."""
    voc = {name: content for files in VOC_FILES.values() for name, content in files.items()}
    del voc["VOCdevkit/stray.txt"]
    coco = {
        f"coco/{name}": content for files in COCO_FILES.values() for name, content in files.items()
    }
    return {"voc2007": voc, "coco2017": coco}
