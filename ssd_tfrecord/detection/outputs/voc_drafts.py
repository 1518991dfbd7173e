"""Detections as VOC's XML: annotations to correct, which the converter reads."""

import pathlib
import re
from collections.abc import Sequence

from lxml import etree

from ssd_tfrecord.detection.detections import Detections, devkit_boxes
from ssd_tfrecord.detection.outputs.output_folder import write_bytes

ANNOTATIONS = "annotations"
# What XML 1.0 cannot hold, section 2.2.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_xml(
    folder: pathlib.Path,
    name: str,
    path: pathlib.Path,
    found: Detections,
    class_names: Sequence[str],
) -> None:
    """Writes ``annotations/<name>.xml``.

    Boxes are in whole pixels, as most tools want them, and at least two pixels wide and high where
    the image is, since VOC's readers take less for a mistake. The score is in <confidence>.

    Args:
        folder: the output folder.
        name: of the image in file names.
        path: of the image.
        found: its detections.
        class_names: of the labels 1, 2, ….

    Raises:
        OSError: it cannot be written.
    """
    root = etree.Element("annotation")
    _add(root, "folder", path.parent.name)
    _add(root, "filename", path.name)
    _add(root, "path", str(path))
    size = etree.SubElement(root, "size")
    for tag, number in (("width", found.width), ("height", found.height), ("depth", 3)):
        _add(size, tag, str(number))
    boxes = devkit_boxes(found.boxes, found.height, found.width)
    for (xmin, ymin, xmax, ymax), label, score in zip(boxes, found.labels, found.scores):
        item = etree.SubElement(root, "object")
        _add(item, "name", class_names[label - 1])
        for tag, text in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            _add(item, tag, text)
        _add(item, "confidence", f"{score:.6f}")
        left, right = _pixels(xmin, xmax, found.width)
        top, bottom = _pixels(ymin, ymax, found.height)
        box = etree.SubElement(item, "bndbox")
        for tag, pixel in (("xmin", left), ("ymin", top), ("xmax", right), ("ymax", bottom)):
            _add(box, tag, str(pixel))
    content = etree.tostring(root, pretty_print=True, encoding="utf-8")
    write_bytes(folder / ANNOTATIONS / f"{name}.xml", content)


def _pixels(low: float, high: float, side: int) -> tuple[int, int]:
    """(first, last) pixel, from 1 to ``side``."""
    first, last = round(low), round(high)
    if last <= first:
        first = max(1, min(first, side - 1))
        last = min(side, first + 1)
    return first, last


def _add(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = _NO_XML.sub("_", text)
