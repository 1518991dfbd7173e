"""What the files beside YOLO labels say: the class names, and where each split is.

These are Ultralytics' data.yaml, Darknet's obj.data with obj.names and lists of images, or a mere
classes.txt, as labelImg and Label Studio write.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.sources.layouts.collector import quoted
from ssd_tfrecord.records.sources.layouts.layout import counted
from ssd_tfrecord.records.sources.layouts.tree import Tree
from ssd_tfrecord.records.sources.layouts.yolo_labels import read_text
from ssd_tfrecord.records.sources.names import normal_name

_MAX_BYTES, _MAX_FILES = 2**20, 50
_MAX_DEPTH = 20
_OPENING = (
    *(yaml.BlockSequenceStartToken, yaml.BlockMappingStartToken),
    *(yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken),
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
_SPLIT_KEYS = {
    "train": "train",
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    "test": "test",
}
_NAMES_FILES = ("classes.txt", "obj.names", "predefined_classes.txt", "classes.names")


@dataclass(frozen=True)
class YoloConfig:
    """``file`` is where it was found, ``names`` {id: class name}; "" and {} if there is none.

    ``splits`` is {split: paths as written}, and empty if the file does not say.
    ``num_keypoint_values`` is how many numbers of keypoints each line has.
    """

    file: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    splits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    base: str = ""
    num_keypoint_values: int = 0
    notes: tuple[str, ...] = ()


def find_config(tree: Tree) -> YoloConfig:
    """Returns what the folder's data.yaml, obj.data or file of class names says.

    Raises:
        InputError: that file is damaged, or two files of class names differ.
    """
    return _of_yaml(tree) or _of_data(tree) or _of_names(tree)


def _depth(name: str) -> tuple[int, bool, str]:
    return name.count("/"), not name.endswith("data.yaml"), name


def _of_yaml(tree: Tree) -> YoloConfig | None:
    found = []
    # A folder of configurations of other tools is not searched to its end.
    for name in sorted(tree.with_suffix(".yaml", ".yml"), key=_depth)[:_MAX_FILES]:
        content = _read_yaml(tree.path(name), required=posixpath.basename(name) == "data.yaml")
        if content.get("names") and any(key in content for key in (*_SPLIT_KEYS, "path")):
            found.append((name, content))
    if not found:
        return None
    name, content = found[0]
    path = tree.path(name)
    names = _names(path, content["names"])
    splits: dict[str, list[str]] = {}
    for key, split in _SPLIT_KEYS.items():
        value = content.get(key)
        items = value if isinstance(value, list) else [value] if value else []
        if not all(isinstance(item, str) for item in items):
            raise InputError(f"{path}: {key}: must be a path or a list of paths")
        if items:
            splits[split] = items
    notes = [f"{tree.path(other)}: not used, as {name} is" for other, _ in found[1:]]
    claimed = content.get("nc")
    # Compared as text: a number may have thousands of digits.
    if isinstance(claimed, str) and claimed.isdigit() and claimed.lstrip("0") != f"{len(names)}":
        notes.append(f"{path}: nc is {claimed[:20]}, but it has {counted(len(names), 'name')}")
    base = content.get("path")
    return YoloConfig(
        name,
        names,
        splits,
        base if isinstance(base, str) else "",
        _keypoint_values(content.get("kpt_shape")),
        tuple(notes),
    )


class _Loader(yaml.BaseLoader):
    """Text stays text: neither does a class "no" become False, nor "007" 7, nor a date a date."""


def _construct(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [
        (loader.construct_object(key, deep=True), loader.construct_object(value, deep=True))
        for key, value in node.value
    ]
    if any(not isinstance(key, str) for key, _ in pairs):
        raise yaml.YAMLError("a key must be text")
    content = dict(pairs)
    if len(content) != len(pairs):
        raise yaml.YAMLError("has a duplicate key")
    return content


_Loader.add_constructor("tag:yaml.org,2002:map", _construct)


def _read_yaml(path: str, required: bool) -> dict[str, Any]:
    """The mapping of a YAML file; {} if it is none, or is damaged and not ``required``."""
    try:
        text = read_text(path, _MAX_BYTES)
        _refuse_bombs(path, text)
        content = yaml.load(text, Loader=_Loader)
    except InputError:
        if required:
            raise
        return {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if not required:
            return {}
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read as YAML: {reason}") from None
    return content if isinstance(content, dict) else {}


def _refuse_bombs(path: str, text: str) -> None:
    """Raises InputError for what takes long: an alias lets a few lines stand for billions."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.BaseLoader):
        if isinstance(token, (yaml.AnchorToken, yaml.AliasToken)):
            raise InputError(f"{path}: has an anchor or alias, which are not read: write it out")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        # The scanner's time grows with the square of the depth.
        if depth > _MAX_DEPTH:
            raise InputError(f"{path}: is nested too deeply: must have at most {_MAX_DEPTH} levels")


def _names(path: str, value: object) -> dict[int, str]:
    if isinstance(value, list):
        value = {str(number): name for number, name in enumerate(value)}
    if not isinstance(value, dict):
        raise InputError(f"{path}: names: must be a list of names, or id: name for each class")
    names = {}
    for key, name in value.items():
        if not re.fullmatch(r"\d{1,6}", key, re.ASCII) or not isinstance(name, str):
            raise InputError(f"{path}: names: {quoted(str(key))}: must be a number with a name")
        names[int(key)] = name
    return _checked(path, names)


def _checked(path: str, names: Mapping[int, str]) -> dict[int, str]:
    """``names`` in normal form, sorted by id."""
    found: dict[int, str] = {}
    taken: dict[str, int] = {}
    for number in sorted(names):
        name = normal_name(names[number])
        if not name or name in taken:
            what = f"duplicate class {quoted(name)}" if name else f"class {number} has no name"
            raise InputError(f"{path}: {what}; must name each class once")
        found[number] = name
        taken[name] = number
    if not found:
        raise InputError(f"{path}: has no class names")
    return found


def _keypoint_values(shape: object) -> int:
    # kpt_shape: [17, 3] is 17 keypoints of x, y and visibility.
    if not isinstance(shape, list) or len(shape) != 2:
        return 0
    if not all(re.fullmatch(r"\d{1,4}", str(item), re.ASCII) for item in shape):
        return 0
    return int(shape[0]) * int(shape[1])


def _of_data(tree: Tree) -> YoloConfig | None:
    for name in sorted(tree.with_suffix(".data"), key=_depth):
        lines = read_text(tree.path(name), _MAX_BYTES).splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line)
        content = {key.strip(): value.strip() for key, _, value in pairs}
        if content.keys().isdisjoint((*_SPLIT_KEYS, "names", "classes", "backup")):
            continue  # a file of some other program
        if not content.get("names"):
            raise InputError(f"{tree.path(name)}: must say names = and a file of class names")
        bases = (posixpath.dirname(name), "")
        names_file = tree.lead(content["names"], bases)
        if names_file not in tree.known:
            raise InputError(f"{tree.path(name)}: names = {content['names']}: no such file")
        splits = {split: [content[key]] for key, split in _SPLIT_KEYS.items() if content.get(key)}
        return YoloConfig(name, _read_names(tree, names_file or ""), splits)
    return None


def _of_names(tree: Tree) -> YoloConfig:
    files = [name for name in tree.files if posixpath.basename(name).lower() in _NAMES_FILES]
    if not files:
        return YoloConfig()
    names = {name: _read_names(tree, name) for name in files}
    # labelImg writes one into each folder.
    first = min(files, key=_depth)
    for other in files:
        if names[other] != names[first]:
            raise InputError(
                f"{tree.path(other)}: its class names are not those of {tree.path(first)}; "
                "must be the same"
            )
    return YoloConfig(first, names[first])


def _read_names(tree: Tree, name: str) -> dict[int, str]:
    path = tree.path(name)
    # Blank lines at the end are none; between names they would shift all that follow.
    lines = read_text(path, _MAX_BYTES).rstrip().splitlines()
    return _checked(path, dict(enumerate(lines)))
