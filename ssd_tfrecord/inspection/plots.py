"""What a manifest counts, as PNG: class bars and histograms."""

import os

from ssd_tfrecord.inspection.tables import TITLES, bin_names
from ssd_tfrecord.records.manifest import Manifest

# At most this many classes, the largest first; more could not be read.
MAX_CLASSES = 100


def write_plots(manifest: Manifest, folder: str) -> list[str]:
    """Writes classes.png and a PNG for each histogram into ``folder``; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    objects = {name: counts["objects"] for name, counts in manifest.per_class.items()}
    largest = sorted(objects, key=objects.get, reverse=True)[:MAX_CLASSES]
    title = f"objects of a class ({len(largest)} of {len(objects)} classes)"
    bars = {"classes": (title, largest, [objects[name] for name in largest])}
    for name, histogram in manifest.histograms.items():
        bars[name] = (TITLES.get(name, name), bin_names(histogram["edges"]), histogram["counts"])
    return [_write(os.path.join(folder, f"{name}.png"), *content) for name, content in bars.items()]


def _write(path, title, names, counts):
    # Without pyplot, which would look for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, max(2.5, 0.9 + 0.22 * len(names))), layout="constrained")
    axes = figure.add_subplot()
    positions = range(len(names))
    axes.barh(positions, counts, color="#4269d0")
    # A dollar would begin a formula.
    axes.set_yticks(positions, [name.replace("$", r"\$") for name in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    for position, count in zip(positions, counts):
        axes.text(count, position, f" {count}", va="center", fontsize=7)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure).print_png(path)
    return path
