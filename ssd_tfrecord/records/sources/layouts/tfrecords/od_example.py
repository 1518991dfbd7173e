"""One Example of the TF Object Detection API: where its image is, and its objects."""

import posixpath
from dataclasses import dataclass, field

from ssd_tfrecord.records.sources.layouts.tfrecords.example_wire import (
    Feature,
    Slice,
    read_features,
)
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.paths import printable
from ssd_tfrecord.records.sources.shapes import Box

_NOTHING = Feature()


@dataclass(frozen=True)
class OdObject:
    """An object: ``box`` in fractions; ``label`` and ``text`` are its class, -1 and "" if absent.

    ``flags`` are difficult, truncated, occluded and crowd, as of SourceObject.
    """

    box: Box
    label: int
    text: str
    flags: dict[str, bool]


@dataclass(frozen=True)
class OdExample:
    """What an Example says; ``image`` is in its bytes, ``size`` is (width, height) or None.

    ``problem`` says why it cannot be used, and ``names`` are the texts of its objects.
    ``has_boxes`` says whether it has the keys of boxes, be they empty.
    """

    source_id: str
    filename: str
    image: Slice
    size: tuple[float, float] | None = None
    objects: tuple[OdObject, ...] = ()
    has_boxes: bool = False
    problem: str = ""
    names: tuple[str, ...] = field(default=())


def has_image(data: bytes) -> bool:
    """Returns whether a record is an Example with an encoded image.

    Raises:
        WireError: it is no Example.
    """
    from ssd_tfrecord.records import schema

    return schema.ENCODED in read_features(data, [schema.ENCODED])


def parse(data: bytes) -> OdExample:
    """Parses a record.

    Args:
        data: the serialized Example.

    Raises:
        WireError: it is no Example.
    """
    # Here, as it imports TensorFlow, which most layouts do without.
    from ssd_tfrecord.records import schema

    flags = {
        "difficult": schema.DIFFICULT,
        "truncated": schema.TRUNCATED,
        "occluded": schema.OCCLUDED,
        "crowd": schema.CROWD,
    }
    strings = (schema.ENCODED, schema.SOURCE_ID, schema.FILENAME, schema.TEXT)
    numbers = (schema.HEIGHT, schema.WIDTH, schema.LABEL, *schema.BOX_EDGES, *flags.values())
    found = read_features(data, {*strings, *numbers})

    def texts(key: str) -> list[str]:
        slices = found.get(key, _NOTHING).strings
        return [
            printable(data[item.begin : item.begin + item.length].decode(errors="replace"))
            for item in slices
        ]

    def ints(key: str) -> tuple[int, ...]:
        return found.get(key, _NOTHING).ints

    images = found.get(schema.ENCODED, _NOTHING).strings
    edges = [found.get(key, _NOTHING).floats for key in schema.BOX_EDGES]
    labels, names = ints(schema.LABEL), [normal_name(text) for text in texts(schema.TEXT)]
    filename = "".join(texts(schema.FILENAME)[:1]).replace("\\", "/")
    problem = _problem([len(values) for values in edges], len(labels), len(names))
    if len(images) != 1 or not images[0].length:
        problem = f"has {sum(image.length > 0 for image in images)} images: must have one"
    sides = ints(schema.WIDTH), ints(schema.HEIGHT)
    known = {name: ints(key) for name, key in flags.items()}
    return OdExample(
        "".join(texts(schema.SOURCE_ID)[:1]),
        posixpath.basename(filename),
        images[0] if images else Slice(0, 0),
        (sides[0][0], sides[1][0]) if all(len(s) == 1 and s[0] > 0 for s in sides) else None,
        ()
        if problem
        else tuple(
            OdObject(
                (ymin, xmin, ymax, xmax),
                labels[place] if labels else -1,
                names[place] if names else "",
                # Other tools leave out what they do not know.
                {name: place < len(values) and values[place] > 0 for name, values in known.items()},
            )
            for place, (ymin, xmin, ymax, xmax) in enumerate(zip(*edges))
        ),
        any(key in found for key in schema.BOX_EDGES),
        problem,
        tuple(names),
    )


def _problem(num_edges: list[int], num_labels: int, num_names: int) -> str:
    """Why the lists of a record do not belong together, or ""."""
    number = num_edges[0]
    if set(num_edges) != {number}:
        return f"has {num_edges} edges (ymin, xmin, ymax, xmax): must have as many of each"
    if not {num_labels, num_names} <= {0, number}:
        return (
            f"has {number} boxes, {num_labels} labels and {num_names} class names: must have as "
            "many of each"
        )
    if number and not num_labels and not num_names:
        return "has boxes, but neither labels nor class names"
    return ""
