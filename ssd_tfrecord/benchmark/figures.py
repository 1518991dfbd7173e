"""The figures of a benchmark: saved as JSON, read back and compared."""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import names_of_role

# What --only=all measures, and all that can be measured.
TRAINING = ("convert", "input", "match", "model", "end_to_end")
SECTIONS = (*TRAINING, "scaling", "evaluation")

# Flags that say where figures go rather than what is measured.
_OUTPUT_FLAGS = {f"--{name}" for name in names_of_role(BenchmarkConfig, "place")}


@dataclass(frozen=True)
class Change:
    """A figure of an older report beside its new value.

    ``percent`` is how much it rose. ``worse`` is by how many percent a cost rose or a rate fell:
    below 0 if it got better, None for a figure that is neither (a share, a part, or something that
    is measured only for comparison).
    """

    name: str
    old: float
    new: float
    percent: float
    worse: float | None


def check_place(path: str) -> None:
    """Checks that a report can be saved as ``path``, before it is measured.

    Raises:
        InputError: it cannot.
    """
    what = "must be a file in an existing folder"
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(f"--json={path}: no such folder; {what}")
    is_new = not os.path.lexists(path)
    try:
        # Tried, as permissions alone do not tell; what it holds stays.
        with open(path, "ab"):
            pass
        if is_new:
            os.remove(path)
    except OSError as error:
        raise InputError(f"--json={path}: cannot be written: {error.strerror}; {what}") from None


def save(path: str | os.PathLike[str], report: Mapping[str, Any]) -> None:
    """Writes ``report`` to ``path`` as JSON."""
    pathlib.Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a report that ``save`` wrote.

    Args:
        path: of the file, as --compare.

    Raises:
        InputError: the file cannot be read, or is not such a report.
    """
    what = "must be a report written by --json"
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--compare={path}: {error.strerror}; {what}") from None
    except (ValueError, RecursionError):
        raise InputError(f"--compare={path}: is not JSON; {what}") from None
    # What comparing needs; the sections may be any.
    parts = {"machine": dict, "flags": list}
    if (
        not isinstance(report, dict)
        or any(not isinstance(report.get(name), kind) for name, kind in parts.items())
        or not all(isinstance(line, str) for line in report["flags"])
    ):
        raise InputError(f'--compare={path}: has no "machine" and "flags"; {what}')
    return report


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """How each figure that both reports contain has changed, in the order of ``new``."""
    before = _flat(old)
    found = [(name, before[name], value) for name, value in _flat(new).items() if name in before]
    return [_change(*figure) for figure in found]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What makes two reports hard to compare: machine, versions and flags, one line each."""
    before, after = _circumstances(old), _circumstances(new)
    return [
        f"{name}: {before.get(name, 'none')} then, {after.get(name, 'none')} now"
        for name in {**after, **before}
        if before.get(name) != after.get(name)
    ]


def too_bad(found: Iterable[Change], limit: float) -> list[Change]:
    """The costs that rose and the rates that fell by more than ``limit`` percent."""
    return [change for change in found if change.worse is not None and change.worse > limit]


def _change(name: str, old: float, new: float) -> Change:
    # From 0, any rise is infinitely many percent.
    percent = 100 * (new - old) / abs(old) if old else math.copysign(math.inf, new) if new else 0.0
    return Change(name, old, new, percent, _worse(name, percent))


def _worse(name: str, percent: float) -> float | None:
    *sections, leaf = name.split(".")
    # Bare work and peers are measured for comparison; parts are judged by their sum, which is less
    # noisy.
    if any(word.startswith(("bare", "peers", "part")) for word in (*sections, leaf)):
        return None
    if leaf in ("images_per_s", "busy_share", "efficiency"):
        return -percent
    return percent if any(word in leaf for word in ("cores", "cpu_ms", "ratio")) else None


def _flat(report: Mapping[str, Any]) -> dict[str, float]:
    """{dotted name: number} of all figures except the spreads."""
    figures: dict[str, float] = {}

    def add(prefix: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                add(f"{prefix}{name}.", value)
            # Integers are not figures: they count images, workers and the like.
            elif isinstance(value, float) and not name.endswith("spread"):
                figures[f"{prefix}{name}"] = value

    add("", {name: report[name] for name in SECTIONS if isinstance(report.get(name), dict)})
    return figures


def _circumstances(report: Mapping[str, Any]) -> dict[str, Any]:
    # The load differs each time.
    machine = {name: value for name, value in report["machine"].items() if "load" not in name}
    pairs = (line.partition("=") for line in report["flags"])
    return machine | {name: value for name, _, value in pairs if name not in _OUTPUT_FLAGS}
