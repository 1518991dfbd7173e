"""What an exported ONNX file says about itself, in its metadata."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.options import DetectionOptions

WITH_NMS = "detections"
RAW = "raw"


@dataclass(frozen=True)
class ModelFacts:
    """All that a program needs beside the graph.

    ``variant`` is detections or raw; label i is ``class_names[i - 1]``, ``original_ids[i - 1]`` its
    id in the source (COCO's category id); ``options`` are in the graph of detections, and are to be
    used with that of raw boxes and scores. ``run`` is the name of the run's folder.
    """

    variant: str
    class_names: tuple[str, ...]
    original_ids: tuple[int, ...]
    input_size: int
    options: DetectionOptions
    run: str
    step: int

    @classmethod
    def of(cls, model: Exportable, variant: str) -> "ModelFacts":
        """The facts of a trained model."""
        return cls(
            variant=variant,
            class_names=model.class_names,
            original_ids=model.original_ids,
            input_size=model.input_size,
            options=model.options,
            # Not where it lies: the file goes to others.
            run=pathlib.Path(model.run).resolve().name,
            step=model.step,
        )

    def to_properties(self) -> dict[str, str]:
        """{key: JSON} for the metadata; strings are themselves.

        ``box_order`` and ``box_range`` are for the reader: each variant has one.
        """
        order = ["ymin", "xmin", "ymax", "xmax"]
        if self.variant == RAW:
            order = ["xmin", "ymin", "xmax", "ymax"]
        values = {
            "variant": self.variant,
            "class_names": self.class_names,
            "original_ids": self.original_ids,
            "input_size": self.input_size,
            "box_order": order,
            "box_range": [0, 1],
            **dataclasses.asdict(self.options),
            "run": self.run,
            "step": self.step,
        }
        return {key: _text(value) for key, value in values.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], path: pathlib.Path) -> "ModelFacts":
        """The facts in the metadata of a file.

        Args:
            properties: {key: JSON}.
            path: of the file, for the message.

        Raises:
            InputError: they are not those of ``to_properties``.
        """
        names = [field.name for field in dataclasses.fields(DetectionOptions)]
        try:
            if (variant := properties["variant"]) not in (WITH_NMS, RAW):
                raise ValueError(variant)
            return cls(
                variant=variant,
                class_names=tuple(map(str, json.loads(properties["class_names"]))),
                original_ids=tuple(map(int, json.loads(properties["original_ids"]))),
                input_size=int(properties["input_size"]),
                options=DetectionOptions(**{name: json.loads(properties[name]) for name in names}),
                run=properties["run"],
                step=int(properties["step"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path}: its metadata ({error}) is not that of an export of ssd_tfrecord; export "
                "again"
            ) from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
