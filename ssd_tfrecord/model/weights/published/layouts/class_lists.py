"""The classes of published models, whose files hold numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError

# In the order of the authors' labelmap_voc.prototxt, of amdegroot and of lufficc: by name.
VOC = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

# COCO's ids in groups that have no gaps: the first id, then the names. From instances_val2017.json.
_COCO_GROUPS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (
        1,
        (
            *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck"),
            *("boat", "traffic light", "fire hydrant"),
        ),
    ),
    (
        13,
        (
            *("stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep"),
            *("cow", "elephant", "bear", "zebra", "giraffe"),
        ),
    ),
    (27, ("backpack", "umbrella")),
    (
        31,
        (
            *("handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
            *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
            *("tennis racket", "bottle"),
        ),
    ),
    (
        46,
        (
            *("wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
            *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
            *("chair", "couch", "potted plant", "bed"),
        ),
    ),
    (67, ("dining table",)),
    (70, ("toilet",)),
    (
        72,
        (
            *("tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven"),
            *("toaster", "sink", "refrigerator"),
        ),
    ),
    (
        84,
        (*("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),),
    ),
)
# {COCO's category id: name}.
COCO = {first + place: name for first, group in _COCO_GROUPS for place, name in enumerate(group)}

# Outputs of torchvision's models for COCO: ids 0 (background) to 90.
_TORCHVISION_DEPTH = 91


@dataclass(frozen=True)
class ClassList:
    """The classes of a file, and which of its outputs are theirs.

    Label i is ``names[i - 1]`` with ``original_ids[i - 1]`` and the output ``channels[i]``;
    ``channels[0]`` is the background. ``known`` is false of names that are made up.
    """

    names: tuple[str, ...]
    original_ids: tuple[int, ...]
    channels: tuple[int, ...]
    known: bool = True


def of_depth(depth: int, given: Sequence[str], where: str) -> ClassList:
    """The classes of a model by the number of its outputs.

    Args:
        depth: number of classes with the background.
        given: names that the user or the file itself gives, of the labels 1, 2, …; may be empty.
        where: names the file, for errors.

    Raises:
        InputError: there are more or fewer names than classes, or one is there twice.
    """
    plain = tuple(range(depth))
    if given:
        if len(given) != depth - 1:
            raise InputError(
                f"{where}: has {depth - 1} classes, but {len(given)} names are given; must be as "
                "many"
            )
        if twice := [name for place, name in enumerate(given) if name in given[:place]]:
            raise InputError(f"{where}: the class name {twice[0]!r} is given twice")
        return ClassList(tuple(given), plain[1:], plain)
    ids = tuple(COCO)
    if depth == len(VOC) + 1:
        return ClassList(VOC, plain[1:], plain)
    if depth == len(COCO) + 1:
        return ClassList(tuple(COCO.values()), ids, plain)
    if depth == _TORCHVISION_DEPTH:
        # Its ten other outputs are never trained: COCO has no such ids.
        return ClassList(tuple(COCO.values()), ids, (0, *ids))
    return ClassList(tuple(f"class_{label}" for label in plain[1:]), plain[1:], plain, known=False)
