"""The table of exported files that ends an export."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_tfrecord.exporting.parity import Parity

_TITLES = ("file", "runs in", "MB", "load s", "ms/image", "boxes", "scores", "only one", "VOC07")


@dataclass(frozen=True)
class Row:
    """A checked file.

    ``latency_ms`` is the median time of one image on the CPU, ``load_s`` the time to open it.
    ``compared`` is false where only AP has to be that of the run.
    """

    name: str
    runtime: str
    num_bytes: int
    load_s: float
    latency_ms: float
    parity: Parity
    compared: bool = True


def table(rows: Sequence[Row]) -> str:
    """The rows under their titles, and what the titles mean."""
    lines = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TITLES))]
    text = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
    # Of the others, it may be the file's own from when it was exported.
    references = {_ap(row.parity.ap_reference) for row in rows if row.compared}
    of_run = f" (VOC07 mAP {', '.join(references)})" if references else ""
    legend = (
        f"boxes, scores: largest difference from the run's own{of_run}; only one: detections that "
        "only one of the two has"
    )
    return "\n".join([*text, legend])


def _cells(row: Row) -> tuple[str, ...]:
    parity = row.parity
    return (
        row.name,
        row.runtime,
        f"{row.num_bytes / 1e6:.1f}",
        f"{row.load_s:.2f}",
        f"{row.latency_ms:.1f}",
        f"{parity.box:.1e}" if row.compared else "-",
        f"{parity.score:.1e}" if row.compared else "-",
        f"{parity.num_unmatched} of {parity.num_reference + parity.num_found:,}",
        _ap(parity.ap),
    )


def _ap(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
