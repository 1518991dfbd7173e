"""The counts of a manifest as text: totals, a table of the classes, and one per histogram."""

import itertools
from collections.abc import Mapping, Sequence

from ssd_tfrecord.records.manifest import Manifest

# Characters of the longest bar.
_BAR = 40
TITLES = {
    "box_side": "box side (square root of its share of the image)",
    "box_aspect": "box aspect (width / height, in pixels)",
    "objects_per_image": "number of objects in an image",
    "image_side": "longer side of the image, in pixels",
}


def to_text(manifest: Manifest) -> str:
    """Totals, classes and histograms of ``manifest``."""
    parts = [_totals(manifest), _classes(manifest)]
    parts += [_histogram(name, item) for name, item in manifest.histograms.items()]
    return "\n\n".join(parts)


def _totals(manifest: Manifest) -> str:
    # At least 1, so that an empty set needs no branch.
    records = max(1, manifest.num_records)
    rows = [
        ("images", f"{manifest.num_records}"),
        ("shards", f"{len(manifest.shards)}"),
        ("megabytes", f"{sum(shard.bytes for shard in manifest.shards) / 1e6:.1f}"),
        ("megapixels per image", f"{manifest.num_pixels / records / 1e6:.3f}"),
        ("objects", f"{manifest.num_objects}"),
        (
            "objects per image",
            f"{manifest.num_objects / records:.2f}, at most {manifest.max_objects}",
        ),
        ("difficult", f"{manifest.num_difficult}"),
        ("crowd", f"{manifest.num_crowd}"),
    ]
    return "\n".join(f"{name:<20} {value}" for name, value in rows)


def _classes(manifest: Manifest) -> str:
    # At least as wide as the heading, "class".
    width = max([5, *map(len, manifest.per_class)])
    kinds = ("objects", "difficult", "crowd", "images")
    lines = [f"{'class':<{width}}" + "".join(f"{kind:>11}" for kind in kinds)]
    for name, counts in manifest.per_class.items():
        lines.append(f"{name:<{width}}" + "".join(f"{counts[kind]:>11}" for kind in kinds))
    return "\n".join(lines)


def _histogram(name: str, histogram: Mapping[str, Sequence[float]]) -> str:
    counts = histogram["counts"]
    total, most = max(1, sum(counts)), max(1, *counts)
    lines = [TITLES.get(name, name)]
    for label, count in zip(bin_names(histogram["edges"]), counts):
        bar = "#" * round(_BAR * count / most)
        lines.append(f"  {label:<12}{count:>9} {100 * count / total:5.1f} % {bar}".rstrip())
    return "\n".join(lines)


def bin_names(edges: Sequence[float]) -> list[str]:
    """The names of a histogram's bins, such as "2 - 3"; the last is "128 or more".

    Args:
        edges: the lower edge of each bin. If all are integers, a bin is named by the integers that
            it contains, otherwise by its edges.
    """
    step = 1 if all(isinstance(edge, int) for edge in edges) else 0
    names = [
        f"{low:g}" if step and high == low + step else f"{low:g} - {high - step:g}"
        for low, high in itertools.pairwise(edges)
    ]
    return [*names, f"{edges[-1]:g} or more"]
