"""One VOC XML file: its objects in pixels counted from 0, whatever the file counts from."""

import itertools
import math
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lxml import etree

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import MAX_COORDINATE, degeneracy
from ssd_tfrecord.records.rejects import DROPPED, ENCLOSED, POLYGON, ROTATION, Reject
from ssd_tfrecord.records.sources.names import normal_name
from ssd_tfrecord.records.sources.shapes import Box, around_points, around_turned
from ssd_tfrecord.records.sources.source_set import SourceObject

# lxml has no public name for the type.
Element = etree._Element
Fields = Mapping[str, Element]

# Enough for ten thousand objects. Parsed elements of a few bytes take thirty times their size.
MAX_BYTES = 2**22
EDGES = ("ymin", "xmin", "ymax", "xmax")
# Reasons: LabelMe keeps objects that its user has deleted, and names the box of a mask so.
DELETED, MASK = "deleted", "mask"

# How optional values are read that are not as VOC has them. Notes to the user insert how many there
# are, and what and where the first is.
ODD_SIZE = "size of {files} is not in pixels ({first}): taken as unknown"
ODD_BOX = "box of {objects} cannot be read ({first}): --bad_boxes says what becomes of these"
ODD_ROTATION = "rotation of {objects} is not in degrees ({first}): taken as 0"
_ODD_FLAG = "{tag} of {{objects}} is not 0 or 1 ({{first}}): taken as {value:d}"

_FLAGS = {"": False, "0": False, "1": True}
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
_NO_BOX: Box = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class VocFile:
    """What an XML says; ``filename`` may be empty, ``size`` is (width, height) or None.

    ``rejects`` are for objects that are left out, or whose box is not the file's own; their
    ``source_id`` is empty. ``odd`` is {ODD_SIZE or the like: (number of such values, the first)}.
    """

    filename: str
    size: tuple[int, int] | None
    objects: tuple[SourceObject, ...]
    rejects: tuple[Reject, ...] = ()
    odd: Mapping[str, tuple[int, str]] = field(default_factory=dict)


class _Seen:
    """What is worth a note in the file at ``path``."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.rejects: list[Reject] = []
        self.odd: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, text: str) -> None:
        """Counts an odd value, described by ``text``."""
        count, first = self.odd.get(kind, (0, text))
        self.odd[kind] = count + 1, first


def parse_voc_xml(path: str, pixel_origin: int) -> VocFile:
    """Reads a VOC annotation; an object needs only ``name`` and ``bndbox``.

    VOC counts pixels from 1 and includes both ends: pixels xmin…xmax cover [xmin − 1, xmax]. With
    ``pixel_origin`` 0 the numbers are edges already. ``flaw`` marks boxes that cover nothing in the
    file's own numbers (xmax <= xmin), and boxes that are not finite: an edge that is missing or no
    number is NaN. A missing name is "", which is no class.

    Without <bndbox> the box is that around the <polygon>, or that of the <segm> (LabelMe). CVAT
    writes turned rectangles as they were before the turn, and the angle as an attribute
    ``rotation``: the box is that around the turned one.

    Args:
        path: the file.
        pixel_origin: 1 or 0.

    Raises:
        InputError: the file cannot be read, is not VOC's, or says something twice; the message
            names the object and says what is allowed.
    """
    root = _root(path)
    fields = _children(root)
    _refuse_misplaced(path, root, fields)
    seen = _Seen(path)
    objects = tuple(
        found
        for index, element in enumerate(root.iterchildren("object"), 1)
        if (found := _object(seen, index, element, pixel_origin))
    )
    filename, size = _text(fields, "filename"), _size(seen, fields)
    return VocFile(filename, size, objects, tuple(seen.rejects), seen.odd)


def _root(path: str) -> Element:
    # Annotation files come from strangers, so no entity is expanded and no other file is read.
    # Comments are removed, since ``text`` would end at the first one.
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        status = os.stat(path)
        # Opening a pipe would wait for its writer.
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise InputError(f"{path}: must be a file of at most {MAX_BYTES} bytes")
        with open(path, "rb") as file:
            # The limit holds again here, since the file may have grown.
            root = etree.fromstring(file.read(MAX_BYTES), parser)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except etree.XMLSyntaxError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not well-formed XML: {reason[:200]}") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise InputError(f"{path}: has a DOCTYPE: entities and DTDs are not read; remove it")
    if root.tag != "annotation":
        tag = reprlib.repr(root.tag)[1:-1]
        raise InputError(f"{path}: root is <{tag}>: must be VOC's <annotation>")
    return root


def _refuse_misplaced(path: str, root: Element, fields: Fields) -> None:
    """Raises InputError if the file has objects in another layout, which would be lost."""
    alike = (tag for tag in fields if tag.lower() in ("object", "objects"))
    if "object" in fields and all(tag == "object" for tag in alike):
        return
    for element in root.iter():
        parent = element.getparent()
        if parent is None or element.tag.lower() != "object":
            continue
        if parent is not root or element.tag != "object":
            _refuse_object(path, element.tag, parent.tag)


def _refuse_object(path: str, tag: str, parent: str) -> None:
    raise InputError(
        f"{path}: <{tag}> in <{parent[:50]}>: must be <object>, directly inside <annotation>"
    )


def _object(seen: _Seen, index: int, element: Element, pixel_origin: int) -> SourceObject | None:
    """Returns the object, or None if its tool says that it has been deleted."""
    fields = _children(element)
    if len(fields) != len(element):
        _refuse_twice(seen, index, element, ("name", "bndbox"))
    if "object" in fields:
        _refuse_object(seen.path, "object", "object")
    name = normal_name(_text(fields, "name"))
    edges = fields.get("bndbox")
    reason = detail = ""
    if edges is not None and len(edges):
        numbers = _numbers(seen, index, edges)
    else:
        numbers, reason, detail = _around(seen, index, element)
    # Only the low edges move: pixel xmax, counted from 1, ends at edge xmax.
    box = (numbers[0] - pixel_origin, numbers[1] - pixel_origin, numbers[2], numbers[3])
    flaw = degeneracy(numbers)
    if "attributes" in fields and not flaw and (turn := _rotation(seen, fields["attributes"])):
        box, reason, detail = around_turned(box, turn), ROTATION, f"turned by {turn:g} degrees"
    action = ENCLOSED
    if "deleted" in fields and _flag(seen, fields, "deleted"):
        reason, action = DELETED, DROPPED
    if reason:
        seen.rejects.append(Reject(seen.path, "", reason, action, index, name, box, detail))
    if action == DROPPED:
        return None
    return SourceObject(
        index=index,
        name=name,
        box=box,
        difficult=_flag(seen, fields, "difficult"),
        truncated=_flag(seen, fields, "truncated"),
        occluded=_flag(seen, fields, "occluded"),
        pose=_text(fields, "pose"),
        flaw=flaw,
    )


def _children(element: Element) -> dict[str, Element]:
    """Returns {tag: child} with the first child of each tag.

    With ``find`` for each tag instead, reading a file of 13 objects took 0.59 ms rather than 0.36.
    """
    # Reversed, so that the first of several overwrites the others.
    return {child.tag: child for child in reversed(element)}


def _refuse_twice(seen: _Seen, index: int, element: Element, tags: Sequence[str]) -> None:
    """Raises InputError for the first of ``tags`` that ``element`` has more than once."""
    for tag in tags:
        if (count := len(element.findall(tag))) > 1:
            raise InputError(f"{seen.path}: object {index}: has {count} <{tag}>: must be one")


def _text(fields: Fields, tag: str) -> str:
    element = fields.get(tag)
    if element is None:
        return ""
    text = element.text or ""
    if len(element):
        # Neither text nor to be ignored: it then fits no number, flag or known class.
        text += f"<{element[0].tag}>"
    return text.strip()


def _number(text: str) -> float:
    """Returns the number that a text spells, which may be infinite, or NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _numbers(seen: _Seen, index: int, element: Element) -> Box:
    """Returns the edges as they stand in a <bndbox>."""
    edges = _children(element)
    if len(edges) != len(element):
        _refuse_twice(seen, index, element, EDGES)
    texts = [_text(edges, tag) for tag in EDGES]
    ymin, xmin, ymax, xmax = map(_number, texts)
    if not math.isfinite(ymin + xmin + ymax + xmax):
        odd = [item for item in zip(EDGES, texts) if math.isnan(_number(item[1]))]
        for tag, text in odd[:1]:
            seen.add(ODD_BOX, f"{tag} is {reprlib.repr(text)}")
    return ymin, xmin, ymax, xmax


def _around(seen: _Seen, index: int, element: Element) -> tuple[Box, str, str]:
    """Returns (the edges of an object without <bndbox>, reason, detail)."""
    points = list(_points(element))
    box = around_points(points)
    if box is not None:
        return box, POLYGON, f"of {len(points)} points"
    mask = element.find("segm/box")
    if mask is not None:
        return _numbers(seen, index, mask), MASK, ""
    seen.add(ODD_BOX, "no <bndbox>")
    return _NO_BOX, "", ""


def _points(element: Element) -> Iterator[tuple[float, float]]:
    """Yields the vertices (x, y) of an object's polygons, be they <pt><x/><y/></pt> or <x1/><y1/>.

    What lacks a coordinate is NaN.
    """
    for polygon in element.iterchildren("polygon"):
        numbers: dict[str, list[float]] = {"x": [], "y": []}
        for item in polygon.iter():
            axis, count = item.tag[:1], item.tag[1:]
            if axis in numbers and (not count or count.isdigit()):
                numbers[axis].append(_number(item.text or ""))
        yield from itertools.zip_longest(numbers["x"], numbers["y"], fillvalue=math.nan)


def _rotation(seen: _Seen, attributes: Element) -> float:
    """Returns the angle of a turned rectangle in degrees, or 0 if it is as upright as before."""
    for item in attributes.iterchildren("attribute"):
        fields = _children(item)
        if _text(fields, "name").lower() == "rotation":
            text = _text(fields, "value")
            turn = _number(text)
            if math.isfinite(turn):
                return turn if turn % 180 else 0.0
            seen.add(ODD_ROTATION, reprlib.repr(text))
    return 0.0


def _flag(seen: _Seen, fields: Fields, tag: str) -> bool:
    if tag not in fields:
        return False
    text = _text(fields, tag)
    value = _FLAGS.get(text)
    return _odd_flag(seen, tag, text) if value is None else value


def _odd_flag(seen: _Seen, tag: str, text: str) -> bool:
    """Reads a flag as other tools write it: as a word, or as the fraction that is occluded."""
    number, word = _number(text), _WORDS.get(text.lower())
    value = number >= 0.5 if word is None else word
    if word is None and number not in (0, 1):
        seen.add(_ODD_FLAG.format(tag=tag, value=value), reprlib.repr(text))
    return value


def _size(seen: _Seen, fields: Fields) -> tuple[int, int] | None:
    sides = _children(fields["size"]) if "size" in fields else {}
    texts = [_text(sides, tag) for tag in ("width", "height")]
    width, height = map(_number, texts)
    # Some tools write 0 if they do not know the size.
    if not all(texts) or 0 in (width, height):
        return None
    if all(1 <= side <= MAX_COORDINATE for side in (width, height)):
        return int(width), int(height)
    seen.add(ODD_SIZE, reprlib.repr("x".join(texts)))
    return None
