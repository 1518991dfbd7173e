"""What the backbones are for and what they cost, for ``--help`` and for configs/README.md.

Both are made from the facts of the backbones, so that they cannot disagree.
"""

from ssd_tfrecord.backbones import BACKBONES

_HEADER = (
    "`--backbone`",
    "`--input_size`",
    "parameters",
    "multiply-adds",
    "CPU ms per image: detection, training",
    "for",
)


def backbones_text() -> str:
    """What each backbone is for, and its cost at its smallest input."""
    texts = []
    for name, backbone in BACKBONES.items():
        if backbone.costs:
            size, cost = min(backbone.costs.items())
            texts.append(
                f"{name}: {backbone.purpose} (at {size}: {cost.parameters:.1f} million parameters, "
                f"{_multiply_adds(cost.multiply_adds)} multiply-adds; {cost.detection_ms:.0f} CPU "
                f"ms per image in detection, {cost.training_ms:.0f} in training)"
            )
    return "; ".join(texts)


def backbones_table() -> str:
    """A Markdown table with a row for each backbone and input size."""
    rows = [_HEADER, ("---",) * len(_HEADER)]
    for name, backbone in BACKBONES.items():
        for size, cost in backbone.costs.items():
            first = size == min(backbone.costs)
            rows.append(
                (
                    f"`{name}`" if first else "",
                    f"{size}",
                    f"{cost.parameters:.2f} M",
                    _multiply_adds(cost.multiply_adds),
                    f"{cost.detection_ms:.0f}, {cost.training_ms:.0f}",
                    backbone.purpose if first else "",
                )
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _multiply_adds(thousand_millions: float) -> str:
    return f"{thousand_millions:.3g} G"
