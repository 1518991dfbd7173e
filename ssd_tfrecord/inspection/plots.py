"""The counts of a manifest as PNG files: class bars and histograms."""

import os
from collections.abc import Sequence

from ssd_tfrecord.inspection.tables import TITLES, bin_names
from ssd_tfrecord.records.manifest import Manifest

# At most this many classes, the largest first; the names of more would be illegible.
MAX_CLASSES = 100


def write_plots(manifest: Manifest, folder: str) -> list[str]:
    """Writes classes.png and one PNG per histogram.

    Args:
        manifest: holds the counts.
        folder: created if it does not exist.

    Returns:
        The paths of the files.
    """
    os.makedirs(folder, exist_ok=True)
    objects = {name: counts["objects"] for name, counts in manifest.per_class.items()}
    largest = sorted(objects, key=lambda name: objects[name], reverse=True)[:MAX_CLASSES]
    title = f"objects per class ({len(largest)} of {len(objects)} classes)"
    bars: dict[str, tuple[str, Sequence[str], Sequence[float]]] = {
        "classes": (title, largest, [objects[name] for name in largest])
    }
    for name, histogram in manifest.histograms.items():
        bars[name] = (TITLES.get(name, name), bin_names(histogram["edges"]), histogram["counts"])
    return [_write(os.path.join(folder, f"{name}.png"), *content) for name, content in bars.items()]


def _write(path: str, title: str, names: Sequence[str], counts: Sequence[float]) -> str:
    # Not pyplot, which would look for a display and keep every figure in memory.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # 0.22 inches per bar leave room for a name in 8 points (0.11 inches).
    figure = Figure(figsize=(8, max(2.5, 0.9 + 0.22 * len(names))), layout="constrained")
    axes = figure.add_subplot()
    positions = range(len(names))
    axes.barh(positions, counts, color="#4269d0")
    # A dollar sign would begin a formula.
    axes.set_yticks(positions, [name.replace("$", r"\$") for name in names], fontsize=8)
    # The first name goes to the top.
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    for position, count in zip(positions, counts):
        axes.text(count, position, f" {count}", va="center", fontsize=7)
    # Room on the right for the number of the longest bar.
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(path)
    return path
