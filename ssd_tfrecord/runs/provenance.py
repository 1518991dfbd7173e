"""``runs.jsonl``: who started a run when, with what, and how each start ended.

A line for each start, and one for each end but that of a kill, which the next start infers. Lines
are only ever added. Free of TensorFlow.
"""

import contextlib
import datetime
import errno
import hashlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ssd_tfrecord
from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs.course.dispensable import Dispensable
from ssd_tfrecord.runs.history import Past

RUNS_FILE = "runs.jsonl"
KILLED = "killed"

# Of a longer file, the last part is read. A start has a kilobyte or two.
_MAX_BYTES = 1 << 24
_GIT_SECONDS = 2.0


class Run:
    """A start of a run, of which one end is written.

    Args:
        path: of ``runs.jsonl``.
        began: when it started, in seconds since 1970.
        before: (seconds, seconds in steps that count) of all earlier starts.
        writing: of the file.
    """

    def __init__(
        self, path: pathlib.Path, began: float, before: tuple[float, float], writing: Dispensable
    ) -> None:
        self._path = path
        self._began = began
        self._before = before
        self._writing = writing
        self._has_ended = False

    def ended(
        self, reason: str, step: int, *, exit_code: int = 0, step_seconds: float = 0.0
    ) -> None:
        """Writes how this start ended, the first time that it is called; never raises an OSError.

        Args:
            reason: done, the signal's name, or the line of the error.
            step: number of steps that are finished and saved.
            exit_code: of the process.
            step_seconds: how long the steps of this start took.
        """
        if self._has_ended:
            return
        self._has_ended = True
        now = time.time()
        seconds = max(0.0, now - self._began)
        total, counted = self._before
        entry = {
            "event": "end",
            "time": _iso(now),
            "process": os.getpid(),
            "reason": reason,
            "exit_code": exit_code,
            "step": step,
            "seconds": round(seconds, 3),
            "step_seconds": round(step_seconds, 3),
            "goodput": _share(counted + step_seconds, total + seconds),
        }
        self._writing.attempt(lambda: _append(self._path, entry))


def started(
    run_dir: str | os.PathLike[str],
    config: TrainConfig,
    *,
    step: int,
    past: Past,
    facts: Mapping[str, Any],
    digests: Mapping[str, str],
    began: float | None = None,
    writing: Dispensable | None = None,
) -> Run:
    """Writes that a run starts, and what became of its last start; never raises an OSError.

    Args:
        run_dir: the run folder.
        config: of the run.
        step: number of finished steps at which it goes on.
        past: how far the earlier starts have come, of the history before it is cut at ``step``.
        facts: of ``devices.inventory.versions_and_devices``.
        digests: {what: sha256} of records and start weights.
        began: when the process started, in seconds since 1970; by default now.
        writing: says that the file cannot be written.

    Returns:
        The start, to be told of its end.
    """
    path = pathlib.Path(run_dir) / RUNS_FILE
    now = time.time() if began is None else began
    earlier = list(_entries(path))
    last = _last(earlier, step, past, config.global_batch_size, now)
    total, counted = _spent(earlier)
    if last:
        total += last["seconds"]
        counted += max(0.0, last["step_seconds"] - last["seconds_lost"])
    entry = {
        "event": "start",
        "time": _iso(now),
        "unix_time": now,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": list(sys.orig_argv),
        "flags_sha256": hashlib.sha256(_bytes(flags.to_lines(config))).hexdigest(),
        **_commit(),
        **facts,
        "digests": dict(digests),
        "step": step,
        "last": last,
        "goodput": _share(counted, total),
    }
    writing = writing or Dispensable(path, print)
    writing.attempt(lambda: _append(path, entry))
    return Run(path, now, (total, counted), writing)


def other_machine(run_dir: str | os.PathLike[str], facts: Mapping[str, Any]) -> str:
    """A line about what rounds otherwise than when the run last started; "" if nothing does.

    To be called before ``started``.

    Args:
        run_dir: the run folder.
        facts: of ``devices.inventory.versions_and_devices``.
    """
    starts = [e for e in _entries(pathlib.Path(run_dir) / RUNS_FILE) if e["event"] == "start"]
    # Earlier versions have not kept all of these.
    before, now = _rounding(starts[-1] if starts else {}), _rounding(facts)
    changes = [
        f"{name} {before[name] or 'none'} -> {now[name] or 'none'}"
        for name in now
        if name in before and before[name] != now[name]
    ]
    if not changes:
        return ""
    return f"other than in this run's last start: {'; '.join(changes)}; results differ by rounding"


def _rounding(facts: Mapping[str, Any]) -> dict[str, str]:
    names = {"tensorflow": "TensorFlow", "vector_units": "vector units", "onednn": "oneDNN"}
    found = {text: str(facts[name]) for name, text in names.items() if name in facts}
    gpus = facts.get("gpus")
    if isinstance(gpus, list):
        found["GPUs"] = ", ".join(str(gpu.get("name")) for gpu in gpus if isinstance(gpu, dict))
    return found


def _last(
    earlier: list[dict[str, Any]], step: int, past: Past, batch: int, now: float
) -> dict[str, Any] | None:
    """What became of the last start: its end as written, or a kill; None before the first one.

    ``seconds_lost`` is the time of the steps that were finished and have to be repeated.
    """
    places = [place for place, entry in enumerate(earlier) if entry["event"] == "start"]
    if not places:
        return None
    start = earlier[places[-1]]
    ends = [entry for entry in earlier[places[-1] + 1 :] if entry["event"] == "end"]
    if ends:
        end = ends[-1]
        lost = past.seconds(step, max(past.step, end["step"]), batch) if end["step"] > step else 0.0
        keys = ("reason", "step", "seconds", "step_seconds")
        return {key: end[key] for key in keys} | {"seconds_lost": round(lost, 3)}
    # The last sign of life; the clock of another host may be ahead, or the folder a copy.
    alive = min(max(past.time or 0.0, start["unix_time"]), now)
    reached = max(past.step, step)
    spent = past.seconds(start["step"], reached, batch)
    seconds = max(alive - start["unix_time"], spent)
    lost = past.seconds(step, reached, batch)
    return {
        "reason": KILLED,
        "step": reached,
        "seconds": round(seconds, 3),
        "step_seconds": round(spent, 3),
        "seconds_lost": round(lost, 3),
    }


def _spent(earlier: list[dict[str, Any]]) -> tuple[float, float]:
    """(seconds, seconds in steps that count) of all starts but the last one."""
    lasts = [entry["last"] for entry in earlier if entry["event"] == "start" and entry["last"]]
    total = sum(last["seconds"] for last in lasts)
    return total, sum(max(0.0, last["step_seconds"] - last["seconds_lost"]) for last in lasts)


def _share(counted: float, total: float) -> float | None:
    return round(min(1.0, counted / total), 4) if total > 0 else None


def _entries(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The lines of the file that are whole, and as this module writes them."""
    try:
        # A pipe would be waited for.
        if not path.is_file():
            return
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _MAX_BYTES))
            lines = file.read(_MAX_BYTES).split(b"\n")
    except OSError:
        return
    for line in lines:
        # A file can hold anything, such as a thousand brackets.
        with contextlib.suppress(ValueError, RecursionError):
            entry = json.loads(line)
            if _is_entry(entry):
                yield entry


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    if entry.get("event") == "end":
        return isinstance(entry.get("reason"), str) and _has_numbers(entry, "step_seconds")
    last = entry.get("last", "")
    if entry.get("event") != "start" or not _has_numbers(entry | {"seconds": 0}, "unix_time"):
        return False
    if last is None:
        return True
    names = ("step_seconds", "seconds_lost")
    return isinstance(last, dict) and all(_has_numbers(last, name) for name in names)


def _has_numbers(entry: Mapping[str, Any], name: str) -> bool:
    values = [entry.get(key) for key in ("step", "seconds", name)]
    # Not NaN, which JSON of Python may hold, nor beyond what a clock shows.
    return all(isinstance(value, int | float) and 0 <= value < 1e15 for value in values)


def _append(path: pathlib.Path, entry: Mapping[str, Any]) -> None:
    """Adds a line in one write, and waits until it is on the disk."""
    content = json.dumps(entry, ensure_ascii=True).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        # A line that was cut by a full disk would spoil this one.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content
        if os.write(descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _commit() -> dict[str, Any]:
    """{commit, dirty} of the checkout that this package lies in; empty if it lies in none."""
    root = pathlib.Path(ssd_tfrecord.__file__).resolve().parents[1]
    # An installed package may lie within another project's checkout.
    if not (root / ".git").exists():
        return {}
    deadline = time.monotonic() + _GIT_SECONDS
    commit = _git(root, deadline, "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _git(root, deadline, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip()} | (
        {} if changes is None else {"dirty": bool(changes.strip())}
    )


def _git(root: pathlib.Path, deadline: float, *words: str) -> str | None:
    try:
        done = subprocess.run(
            # Without a lock: somebody may be at work in the checkout.
            ("git", "--no-optional-locks", "-C", str(root), *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(0.1, deadline - time.monotonic()),
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _bytes(lines: Sequence[str]) -> bytes:
    # A path may have bytes that are no text: Python keeps them as surrogates.
    return "\n".join(lines).encode(errors="surrogatepass")


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat("T", "seconds")
