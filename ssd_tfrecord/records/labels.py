"""The class list of a record set: which names there are, and in which order."""

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.annotation import SourceSet
from ssd_tfrecord.records.manifest import ClassLabel, load_classes

# The devkit's order (VOCinit.m), which is the alphabet's.
VOC_CLASSES = (
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


def choose_classes(classes: str, sources: SourceSet) -> tuple[ClassLabel, ...]:
    """The class list that --classes asks for, which must hold every object's class.

    Args:
      classes: ``default`` (the source's own list, else VOC's 20), ``auto`` (every name found,
        sorted), a file with a name a line, or a manifest.json.

    Raises: InputError that names the first object of another class.
    """
    if classes.endswith(".json"):
        chosen = load_classes(classes)
    else:
        chosen = _numbered(_names(classes, sources), classes, sources.category_ids)
    _check_objects(chosen, sources)
    return chosen


def _names(classes, sources):
    if classes == "default":
        return tuple(sources.category_ids) or VOC_CLASSES
    if classes == "auto":
        names = {item.name for image in sources.images for item in image.objects}
        if not names:
            raise InputError("--classes=auto: no object has a class; name a file of classes")
        return tuple(sorted(names))
    return _names_of_file(classes)


def _names_of_file(path):
    try:
        with open(path, encoding="utf-8-sig") as file:
            names = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--classes={path}: cannot be read ({error}): must be default, auto, a file with a "
            "name a line, or a manifest.json"
        ) from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        found = f"has {twice[0]!r} twice" if twice else "is empty"
        raise InputError(f"--classes={path}: {found}: must have each class on a line of its own")
    return tuple(names)


def _numbered(names, classes, category_ids):
    unknown = [name for name in names if category_ids and name not in category_ids]
    if unknown:
        raise InputError(
            f"--classes={classes}: {unknown[0]!r} is no category of the JSON, which has: "
            f"{', '.join(category_ids)}"
        )
    return tuple(
        ClassLabel(id=label, name=name, original_id=category_ids.get(name, label))
        for label, name in enumerate(names, 1)
    )


def _check_objects(chosen, sources):
    allowed = {item.name for item in chosen}
    for image in sources.images:
        for item in image.objects:
            if item.name not in allowed:
                raise InputError(
                    f"{image.file}: object {item.index}: class {item.name!r} must be one of "
                    f"{', '.join(entry.name for entry in chosen)}; or pass --classes=auto"
                )
