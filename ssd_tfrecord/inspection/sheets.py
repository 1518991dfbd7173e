"""Contact sheets of a record set: some of its records, drawn with boxes and class names."""

import io
import os
import pathlib

from PIL import Image

from ssd_tfrecord.detection import pictures
from ssd_tfrecord.detection.ground_truth import GroundTruth
from ssd_tfrecord.inspection import frames
from ssd_tfrecord.records import schema
from ssd_tfrecord.records.manifest import Manifest

# Three rows of four.
_IN_SHEET = 12


def write_sheets(manifest: Manifest, count: int, folder: str) -> list[tuple[str, list[str]]]:
    """Draws some records, spread evenly over the set, on PNG sheets of twelve.

    Args:
        manifest: of the set.
        count: number of records.
        folder: created if it does not exist.

    Returns:
        (path, source_id of each picture) of each sheet.
    """
    drawn, names = [], []
    # The same records at every call, and only these are read.
    for serialized in frames.read_records(manifest, pictures.spread(manifest.num_records, count)):
        record = {name: value.numpy() for name, value in schema.parse_example(serialized).items()}
        image = Image.open(io.BytesIO(record.pop("encoded"))).convert("RGB")
        names.append(record["source_id"].decode())
        truth = GroundTruth(**{**record, "source_id": names[-1]})
        drawn.append(pictures.draw_ground_truth(image, truth, manifest.class_names))
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    sheets = []
    for start in range(0, len(drawn), _IN_SHEET):
        path = os.path.join(folder, f"pictures-{start // _IN_SHEET + 1:02d}.png")
        part = drawn[start : start + _IN_SHEET]
        pictures.contact_sheet(part, columns=4, cell=pictures.ALONE).save(path)
        sheets.append((path, names[start : start + _IN_SHEET]))
    return sheets
