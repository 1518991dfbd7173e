"""The figures of a benchmark: saved as JSON, read back and compared; standard library only."""

import json
import math
import pathlib
from dataclasses import dataclass

from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import names_of_role

SECTIONS = ("convert", "input", "match", "model", "end_to_end")

# Flags that say where figures go, not what is measured.
_OUTPUT_FLAGS = {f"--{name}" for name in names_of_role(BenchmarkConfig, "place")}


@dataclass(frozen=True)
class Change:
    """A figure of an older report beside its new value.

    ``worse`` says by how many percent a cost rose or a rate fell: below 0 where it got better, None
    for a figure that is neither (a share, a part, what is measured for comparison).
    """

    name: str
    old: float
    new: float
    percent: float
    worse: float | None


def save(path: str, report: dict) -> None:
    """Writes ``report`` as JSON."""
    pathlib.Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def load(path: str) -> dict:
    """The report that ``save`` wrote; raises ``InputError`` for any other file."""
    what = "must be a report of --json"
    try:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"--compare={path}: no such file; {what}") from None
    except ValueError:
        raise InputError(f"--compare={path}: is not JSON; {what}") from None
    parts = {"machine": dict, "flags": list}
    if not isinstance(report, dict) or any(
        not isinstance(report.get(name), kind) for name, kind in parts.items()
    ):
        raise InputError(f"--compare={path}: has no machine and flags; {what}")
    return report


def changes(old: dict, new: dict) -> list[Change]:
    """How each figure changed that both reports hold, in the new one's order."""
    before = _flat(old)
    found = [(name, before[name], value) for name, value in _flat(new).items() if name in before]
    return [_change(*figure) for figure in found]


def differences(old: dict, new: dict) -> list[str]:
    """What makes two reports hard to compare: machine, versions and flags, a line each."""
    before, after = _circumstances(old), _circumstances(new)
    return [
        f"{name}: {before.get(name, 'none')} then, {after.get(name, 'none')} now"
        for name in {**after, **before}
        if before.get(name) != after.get(name)
    ]


def too_bad(found: list[Change], limit: float) -> list[Change]:
    """The costs that rose, and the rates that fell, by more than ``limit`` percent."""
    return [change for change in found if change.worse is not None and change.worse > limit]


def _change(name, old, new):
    percent = 100 * (new - old) / abs(old) if old else math.copysign(math.inf, new) if new else 0.0
    return Change(name, old, new, percent, _worse(name, percent))


def _worse(name, percent):
    *sections, leaf = name.split(".")
    if any(word.startswith(("bare", "part")) for word in (*sections, leaf)):
        return None
    if leaf in ("images_per_s", "busy_share"):
        return -percent
    return percent if any(word in leaf for word in ("cores", "cpu_ms", "ratio")) else None


def _flat(report):
    """{dotted name: number} of all figures, spreads left out."""
    figures = {}

    def add(prefix, values):
        for name, value in values.items():
            if isinstance(value, dict):
                add(f"{prefix}{name}.", value)
            elif isinstance(value, float) and not name.endswith("spread"):
                figures[f"{prefix}{name}"] = value

    add("", {name: report[name] for name in SECTIONS if isinstance(report.get(name), dict)})
    return figures


def _circumstances(report):
    machine = {name: value for name, value in report["machine"].items() if "load" not in name}
    pairs = (line.partition("=") for line in report["flags"])
    return machine | {name: value for name, _, value in pairs if name not in _OUTPUT_FLAGS}
