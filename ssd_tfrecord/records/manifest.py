"""manifest.json: what a record set holds. It is written last: a set without it is incomplete."""

import dataclasses
import hashlib
import json
import os
import re
from dataclasses import dataclass, field

from ssd_tfrecord.errors import InputError

FILE_NAME = "manifest.json"
REJECTS_NAME = "rejects.jsonl"
SCHEMA_VERSION = 2

# TFRecord's frame of a record: length and its checksum before it, checksum of the data behind it.
FRAME_BYTES = 16

_BLOCK = 2**18


@dataclass(frozen=True)
class ClassLabel:
    """A class: ``id`` is 1…C, ``original_id`` the source's own (COCO's category id)."""

    id: int
    name: str
    original_id: int


@dataclass(frozen=True)
class Shard:
    """One TFRecord file, named relative to the manifest's folder; ``bytes`` is its size.

    ``record_bytes`` is the length of each serialized record: from it a reader knows where a record
    begins, whatever is damaged before it.
    """

    file: str
    num_records: int
    bytes: int
    sha256: str
    record_bytes: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """A record set.

    ``num_objects`` counts difficult and crowd objects too; ``max_objects`` is the most in one
    image; ``num_pixels`` is the sum of all images' height x width; ``per_class`` is {name:
    {objects, difficult, crowd, images}}; ``histograms`` is {name: {edges, counts}}, bin i from edge
    i up to the next, the last one open; ``rejects`` is {reason: lines of rejects.jsonl},
    ``actions`` {"images dropped: damaged": images} and so on; ``formats`` is {format of the image's
    file: images}, ``notes`` {what was done with the image: images}; ``flags`` are the lines that
    made the set.
    """

    directory: str
    schema_version: int
    tool: str
    name: str
    classes: tuple[ClassLabel, ...]
    pixel_origin: int
    num_records: int
    num_objects: int
    num_difficult: int
    num_crowd: int
    max_objects: int
    num_pixels: int
    per_class: dict[str, dict[str, int]]
    histograms: dict[str, dict[str, list]]
    shards: tuple[Shard, ...]
    rejects: dict[str, int]
    flags: tuple[str, ...]
    source: dict
    formats: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Label i is ``class_names[i - 1]``."""
        return tuple(item.name for item in self.classes)

    @property
    def original_ids(self) -> tuple[int, ...]:
        """The source's own id of each class, in label order."""
        return tuple(item.original_id for item in self.classes)

    @property
    def num_classes(self) -> int:
        """Classes without the background."""
        return len(self.classes)

    @property
    def shard_paths(self) -> tuple[str, ...]:
        """Paths of the TFRecord files, in record order."""
        return tuple(os.path.join(self.directory, shard.file) for shard in self.shards)

    @property
    def shard_records(self) -> tuple[int, ...]:
        """Records in each shard."""
        return tuple(shard.num_records for shard in self.shards)

    def save(self):
        """Writes manifest.json into ``directory``, aside first."""
        content = dataclasses.asdict(self)
        del content["directory"]
        path = os.path.join(self.directory, FILE_NAME)
        content["sha256"] = {REJECTS_NAME: _file_digest(self.directory, REJECTS_NAME)}
        content["sha256"][FILE_NAME] = _content_digest(content)
        # Names on disk may be no UTF-8: what is not is escaped.
        with open(path + ".tmp", "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_to_json(content))
            file.flush()
            os.fsync(file.fileno())
        os.replace(path + ".tmp", path)

    @classmethod
    def load(cls, directory) -> "Manifest":
        """Reads the manifest of ``directory``; shards must be there in full size.

        Raises:
            InputError if anything is missing; checksums are not read.
        """
        directory = os.fspath(directory)
        path = os.path.join(directory, FILE_NAME)
        content = _read_json(path)
        content.pop("sha256", None)
        content["classes"] = load_classes(path)
        try:
            content["shards"] = tuple(
                Shard(**{**item, "record_bytes": tuple(item["record_bytes"])})
                for item in content["shards"]
            )
            content["flags"] = tuple(content["flags"])
            manifest = cls(directory=directory, **content)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: no whole manifest ({error}); convert anew") from None
        _check_shards(path, manifest)
        return manifest


def file_digests(directory) -> dict[str, tuple[str, str]]:
    """{file: (sha256 as manifest.json has it, sha256 as it is)} of the files beside the shards.

    That of manifest.json is of its own content without it; "" stands for no file.
    """
    content = _read_json(os.path.join(directory, FILE_NAME))
    wanted = content.get("sha256")
    if not isinstance(wanted, dict):
        return {FILE_NAME: ("a sha256", "none")}
    own = wanted.pop(FILE_NAME, "")
    found = {file: (digest, _file_digest(directory, file)) for file, digest in wanted.items()}
    return {FILE_NAME: (own, _content_digest(content)), **found}


def _content_digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_digest(directory, name):
    digest = hashlib.sha256()
    try:
        with open(os.path.join(directory, os.path.basename(name)), "rb") as file:
            # Rejects may be as many as objects.
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def load_manifests(directories) -> tuple[Manifest, ...]:
    """The manifests of several sets, whose class lists must agree.

    Raises:
        InputError that names both lists where they do not.
    """
    manifests = tuple(Manifest.load(directory) for directory in directories)
    for other in manifests[1:]:
        if other.classes != manifests[0].classes:
            raise InputError(
                f"{other.directory}: classes are {_list(other)}, but {manifests[0].directory} has "
                f"{_list(manifests[0])}: must be the same; convert with --classes="
                f"{os.path.join(manifests[0].directory, FILE_NAME)}"
            )
    return manifests


def load_classes(path) -> tuple[ClassLabel, ...]:
    """The class list alone of a manifest.json, whose shards need not be there."""
    path = os.fspath(path)
    content = _read_json(path)
    _check_version(path, content)
    try:
        classes = tuple(ClassLabel(**item) for item in content["classes"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: no whole manifest ({error}); convert anew") from None
    ids = [item.id for item in classes]
    if ids != list(range(1, len(ids) + 1)) or len({item.name for item in classes}) != len(ids):
        raise InputError(f"{path}: class ids {ids}: must be 1 to C, each name once; convert anew")
    return classes


def _to_json(content):
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # A list of numbers on one line: record_bytes has as many as there are records.
    return re.sub(r"\[[\d.,\s]+\]", lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


def _list(manifest):
    if all(item.id == item.original_id for item in manifest.classes):
        return "[" + ", ".join(manifest.class_names) + "]"
    return "[" + ", ".join(f"{item.name} ({item.original_id})" for item in manifest.classes) + "]"


def _read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        raise InputError(
            f"{os.path.dirname(path) or '.'}: no {FILE_NAME}: must be a folder that "
            "`ssd-tfrecord convert-voc` or `convert-coco` has finished"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a JSON object; convert anew")
    return content


def _check_version(path, content):
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version {version}: must be {SCHEMA_VERSION}; convert anew"
        )


def _check_shards(path, manifest):
    for file, shard in zip(manifest.shard_paths, manifest.shards):
        size = os.path.getsize(file) if os.path.isfile(file) else None
        if size is None:
            raise InputError(f"{path}: shard {shard.file} is missing; copy it or convert anew")
        if size != shard.bytes:
            raise InputError(
                f"{file}: {size} bytes: must be {shard.bytes}; copy it or convert anew"
            )
        frames = sum(shard.record_bytes) + FRAME_BYTES * len(shard.record_bytes)
        if frames != shard.bytes or len(shard.record_bytes) != shard.num_records:
            raise InputError(f"{path}: record_bytes of {shard.file} do not add up; convert anew")
    if sum(manifest.shard_records) != manifest.num_records:
        raise InputError(
            f"{path}: shards hold {sum(manifest.shard_records)} records: must be num_records "
            f"{manifest.num_records}; convert anew"
        )
