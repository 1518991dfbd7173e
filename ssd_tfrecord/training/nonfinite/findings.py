"""What a replayed batch did to its network, and the text that tells it, the cause first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Rows of a list; a diverged network would fill many screens.
_MAX_ROWS = 10
# Layers shown before the first that is not finite: where the numbers grow.
_LAYERS_BEFORE = 6
# Coded offsets of real boxes stay below 30; a side of 1e-6 of the image gives 60.
_EXTREME_TARGET = 40.0


@dataclass(frozen=True)
class Layer:
    """What a layer returned: its largest finite magnitude, and which images are not finite."""

    name: str
    largest: float
    bad_images: np.ndarray


@dataclass(frozen=True)
class Box:
    """An object with its largest coded offset and its summed box loss over ``num_anchors``."""

    image: int
    label: int
    corners: np.ndarray
    num_anchors: int
    largest_target: float
    loss: float


@dataclass(frozen=True)
class Replay:
    """What was replayed: a batch by its step and images, and the weights by their step."""

    step: int
    names: tuple[str, ...]
    weights_step: int
    class_names: tuple[str, ...]
    precision: str


@dataclass(frozen=True)
class Findings:
    """What the batch did to the network.

    ``class_losses`` and ``box_losses`` (weighted) are float32 [B], summed over an image's anchors
    and divided by the positives of the batch; ``gradients`` are (variable, norm), in the order of
    the network.
    """

    layers: tuple[Layer, ...]
    boxes: tuple[Box, ...]
    class_losses: np.ndarray
    box_losses: np.ndarray
    gradients: tuple[tuple[str, float], ...]
    bad_weights: tuple[str, ...]


def to_text(about: Replay, found: Findings) -> str:
    """The findings as text, the cause first.

    Args:
        about: what was replayed.
        found: what it did.
    """
    class_loss, box_loss = float(found.class_losses.sum()), float(found.box_losses.sum())
    norm = float(np.sqrt(np.sum(np.square([norm for _, norm in found.gradients], dtype=float))))
    bad_gradients = [name for name, norm in found.gradients if not np.isfinite(norm)]
    lines = [
        f"step {about.step}: {len(about.names)} images, {about.precision}, weights "
        f"of step {about.weights_step}{_age(about.step, about.weights_step)}",
        f"  class loss {class_loss:.6g}, box loss {box_loss:.6g}, gradient norm {norm:.6g}",
    ]
    lines += _weight_lines(found.bad_weights)
    lines += _layer_lines(found.layers, about.names)
    bad = ~(np.isfinite(found.class_losses) & np.isfinite(found.box_losses))
    lines += _image_lines(found, about.names, bad)
    lines += _box_lines(found.boxes, about.names, about.class_names)
    if bad_gradients:
        lines.append(
            f"gradients that are not finite: {len(bad_gradients)} of {len(found.gradients)} "
            f"variables, {_some(bad_gradients)}"
        )
    elif bad.any():
        lines.append("the gradients are finite: only the loss is not")
    elif not any(layer.bad_images.any() for layer in found.layers):
        lines += _all_finite_lines(about.step, about.weights_step, found)
    return "\n".join(lines)


def _age(step: int, loaded: int) -> str:
    if loaded == step - 1:
        return ", those that met the batch"
    count = step - 1 - loaded
    steps = "step" if count == 1 else "steps"
    return f", {count} {steps} before the batch: those that met it were not saved"


def _weight_lines(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"weights that are not finite already: {len(names)}, {_some(names)}"]


def _layer_lines(layers: Sequence[Layer], names: Sequence[str]) -> list[str]:
    first = next((i for i, layer in enumerate(layers) if layer.bad_images.any()), None)
    if first is None:
        top = sorted(layers, key=lambda layer: -layer.largest)[:_LAYERS_BEFORE]
        return ["all layers are finite; largest magnitudes:", *map(_layer_line, top)]
    images = [names[int(index)] for index in layers[first].bad_images.nonzero()[0]]
    return [
        f"first layer that is not finite: {layers[first].name}, in {len(images)} of {len(names)} "
        f"images: {_some(images)}; largest magnitudes up to there:",
        *map(_layer_line, layers[max(0, first - _LAYERS_BEFORE) : first + 1]),
    ]


def _layer_line(layer: Layer) -> str:
    note = "  not finite" if layer.bad_images.any() else ""
    return f"  {layer.name:<44} {layer.largest:>12.5g}{note}"


def _image_lines(found: Findings, names: Sequence[str], bad: np.ndarray) -> list[str]:
    if not bad.any():
        total = found.class_losses + found.box_losses
        order, title = np.argsort(-total, kind="stable"), "images, highest loss first:"
    else:
        order = np.flatnonzero(bad)
        title = f"images whose loss is not finite ({len(order)} of {len(names)}):"
    rows = [
        f"  {names[i]:<44} class loss {found.class_losses[i]:>11.5g}  box loss "
        f"{found.box_losses[i]:>11.5g}"
        for i in order[:_MAX_ROWS]
    ]
    return [title, *rows, *_left_off(len(order))]


def _box_lines(boxes: Sequence[Box], names: Sequence[str], classes: Sequence[str]) -> list[str]:
    groups = {
        "objects whose box is empty or not finite": lambda box: not _is_box(box.corners),
        "boxes whose loss is not finite": lambda box: not np.isfinite(box.loss),
        "boxes that are extremely small or far for their anchors": lambda box: (
            box.largest_target > _EXTREME_TARGET
        ),
    }
    lines = []
    for title, chosen_fn in groups.items():
        rows = [box for box in boxes if chosen_fn(box)]
        if rows:
            lines += [f"{title} ({len(rows)} of {len(boxes)}):"]
            lines += [_box_line(box, names, classes) for box in rows[:_MAX_ROWS]]
            lines += _left_off(len(rows))
    return lines


def _is_box(corners: np.ndarray) -> bool:
    return bool(np.isfinite(corners).all() and (corners[2:] > corners[:2]).all())


def _box_line(box: Box, names: Sequence[str], classes: Sequence[str]) -> str:
    corners = ", ".join(f"{value:.5g}" for value in box.corners)
    return (
        f"  {names[box.image]}: {classes[box.label - 1]!r} at [{corners}] of the sample, "
        f"{box.num_anchors} anchors, largest offset {box.largest_target:.4g}, loss {box.loss:.5g}"
    )


def _all_finite_lines(step: int, loaded: int, found: Findings) -> list[str]:
    top = sorted(found.gradients, key=lambda item: -item[1])[:_LAYERS_BEFORE]
    lines = ["largest gradients:", *(f"  {name:<44} {norm:>12.5g}" for name, norm in top)]
    if loaded == step - 1:
        return [
            *lines,
            "loss and gradient are finite this time, with the same weights and batch: the numbers "
            "of another device or number of replicas differ in their last digits",
        ]
    return [
        *lines,
        f"loss and gradient are finite with the weights of step {loaded}; what they became until "
        f"step {step} was not saved. Train from there with a smaller --checkpoint_every",
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_ROWS} more" if len(names) > _MAX_ROWS else ""
    return ", ".join(names[:_MAX_ROWS]) + more


def _left_off(count: int) -> list[str]:
    return [f"  and {count - _MAX_ROWS} more"] if count > _MAX_ROWS else []
