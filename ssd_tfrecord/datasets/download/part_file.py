"""A file that is being downloaded, under its temporary name."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ssd_tfrecord.errors import InputError


class PartFile:
    """``NAME.part``, which only grows or is emptied, and ``NAME.part.json``, its origin.

    A context manager, at whose end the file is closed. Not buffered: what a killed process has
    received is in the file.

    Args:
        final: the path of the complete file, NAME.
        num_bytes: its size; a longer ``NAME.part`` is not its beginning and is emptied.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, final: pathlib.Path, num_bytes: int) -> None:
        self.path = part_path(final)
        self._final = final
        self._state_path = self.path.with_name(self.path.name + ".json")
        try:
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 closed by __exit__
        except OSError as error:
            raise self._cannot(error) from None
        self._state = self._load()
        self.size = os.fstat(self._file.fileno()).st_size
        if self.size > num_bytes or not self._state:
            self.discard()

    def __enter__(self) -> "PartFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def validator(self, url: str) -> str:
        """What ``url`` said its file is: ETag or date for If-Range; "" if it said nothing."""
        if self._state.get("url") != url:
            return ""
        etag = self._state.get("etag", "")
        # RFC 9110, 13.1.5: a weak one is not allowed there, as it does not vouch for each byte.
        return etag if etag and not etag.startswith("W/") else self._state.get("last_modified", "")

    def has_changed(self, url: str, headers: Mapping[str, str]) -> bool:
        """Whether ``url`` now says, in ``headers``, that its file is another one."""
        now = _origin(url, headers)
        if self._state.get("url") != url:
            return False
        # The date only without ETags: servers that share an address may differ in it.
        for key in ("etag", "last_modified"):
            if now[key] and self._state.get(key):
                return now[key] != self._state[key]
        return False

    def begin(self, url: str, headers: Mapping[str, str]) -> None:
        """Empties the file; what is appended next comes from ``url``, which sent ``headers``."""
        self.discard()
        self._state = _origin(url, headers)
        # Before the first byte: bytes without an origin are thrown away.
        try:
            self._state_path.write_text(json.dumps(self._state), encoding="utf-8")
        except OSError as error:
            raise self._cannot(error) from None

    def append(self, data: bytes) -> None:
        """Writes ``data`` behind what is there.

        Raises:
            InputError: it cannot be written.
        """
        try:
            while data:
                written = self._file.write(data)
                self.size += written
                data = data[written:]
        except OSError as error:
            raise self._cannot(error) from None

    def head(self) -> bytes:
        """The first bytes."""
        with open(self.path, "rb") as file:
            return file.read(1024)

    def discard(self) -> None:
        """Empties the file and forgets its origin."""
        try:
            self._file.truncate(0)
            self._state_path.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot(error) from None
        self._state, self.size = {}, 0

    def publish(self) -> None:
        """Gives the file its final name."""
        os.replace(self.path, self._final)
        self._state_path.unlink(missing_ok=True)

    def _load(self) -> dict[str, str]:
        try:
            state = json.loads(self._state_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):  # none, or damaged, which counts as none
            return {}
        texts = isinstance(state, dict) and all(isinstance(item, str) for item in state.values())
        return state if texts else {}

    def _cannot(self, error: OSError) -> InputError:
        return InputError(
            f"{self.path}: cannot be written: {error.strerror}; the same command resumes"
        )


def part_path(final: pathlib.Path) -> pathlib.Path:
    """The temporary name of the file ``final``."""
    return final.with_name(final.name + ".part")


def _origin(url: str, headers: Mapping[str, Any]) -> dict[str, str]:
    return {
        "url": url,
        "etag": headers.get("ETag") or "",
        "last_modified": headers.get("Last-Modified") or "",
    }
