"""The programs that fit runs, one after the other, and which of them have been done.

Each runs in a process of its own: TensorFlow is set up for each as it needs, and its memory is the
kernel's again when it ends. fit.json keeps what is done.
"""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.runs.run_files import write_text

FILE_NAME = "fit.json"
_MAX_BYTES = 2**20
# ``python -m`` of the package is the command.
PROGRAM = (sys.executable, "-m", "ssd_tfrecord")
# What job schedulers send, and the closing of a terminal. Ctrl-C reaches all processes by itself.
_HANDED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@dataclass(frozen=True)
class Stage:
    """A program and its flags, ``words`` of ssd-tfrecord; ``proofs`` are files that it leaves."""

    name: str
    words: tuple[str, ...]
    proofs: tuple[pathlib.Path, ...]

    @property
    def command(self) -> str:
        """As it is typed."""
        return shlex.join(["ssd-tfrecord", *self.words])


class StageError(InputError):
    """A program has failed; it has said why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Stages:
    """Runs stages; those that were done by the same command are passed over.

    Args:
        folder: where fit.json is.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path = folder / FILE_NAME
        self._done, self._found = _read(self._path)

    @property
    def remembered(self) -> dict[str, Any]:
        """What ``remember`` was told last; empty before the folder is converted."""
        return self._found if "convert" in self._done else {}

    def known(self, asked: Sequence[str]) -> dict[str, Any]:
        """What ``remember`` was told of ``asked``; empty if that was of another, or never."""
        return self.remembered if self._found.get("asked") == list(asked) else {}

    def remember(self, asked: Sequence[str], found: Mapping[str, Any]) -> None:
        """Keeps what the folder was found to hold, once it is converted.

        Args:
            asked: the flags that it depends on.
            found: what JSON can hold.
        """
        self._found = {**found, "asked": list(asked)}
        self._write()

    def run(self, stage: Stage) -> bool:
        """Runs a stage unless it is done; what comes after one that runs is to be done again.

        Returns:
            whether it ran.

        Raises:
            StageError: it has failed, or was stopped.
        """
        done = self._done.get(stage.name) == list(stage.words)
        if done and all(proof.exists() for proof in stage.proofs):
            print(f"\n{stage.name}: done before", flush=True)
            return False
        names = list(self._done)
        if stage.name in names:
            self._done = {name: self._done[name] for name in names[: names.index(stage.name)]}
        # From here on the folder is known as ours.
        self._write()
        print(f"\n$ {stage.command}", flush=True)
        code = _run(stage.words)
        if code:
            raise StageError(_why(stage, code), abs(code) if code > 0 else 128 - code)
        self._done[stage.name] = list(stage.words)
        self._write()
        return True

    def _write(self) -> None:
        content = {"found": self._found, "done": self._done}
        write_text(self._path, json.dumps(content, indent=1) + "\n")


def _why(stage: Stage, code: int) -> str:
    if code in (130, 143, 129, 138, 140):
        return f"{stage.name} was stopped; the same command goes on from there"
    how = f"was killed by signal {-code}" if code < 0 else f"has failed (exit code {code})"
    return (
        f"{stage.name} {how}; once its cause is mended, the same command goes on from there, or "
        "with --restart from the beginning"
    )


def _run(words: Sequence[str]) -> int:
    """The exit code of ssd-tfrecord with ``words``; below 0: the signal that has killed it."""
    process = subprocess.Popen([*PROGRAM, *words])
    before = {
        number: signal.signal(number, lambda number, _: process.send_signal(number))
        for number in _HANDED_ON
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The program has got it, too, and saves what it has.
                continue
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read(path: pathlib.Path) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """({stage: its words} of those that are done, in order; what was found); both may be empty."""
    try:
        if os.path.getsize(path) > _MAX_BYTES:
            return {}, {}
        content = json.loads(path.read_bytes())
        done = {str(name): [str(word) for word in words] for name, words in content["done"].items()}
        return done, dict(content["found"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
