"""manifest.json: what a record set holds. It is written last; a set without it is incomplete."""

import dataclasses
import hashlib
import json
import os
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records import manifest_fields
from ssd_tfrecord.records.manifest_fields import FieldError

FILE_NAME = "manifest.json"
REJECTS_NAME = "rejects.jsonl"
SCHEMA_VERSION = 2
# Key of ``source``: "integer" or "string", which a source with image ids of its own (COCO's) says.
IMAGE_IDS = "image_ids"

# TFRecord's frame around a record: its length (8 bytes) and a checksum of that (4) before it, a
# checksum of the data (4) after it.
FRAME_BYTES = 16

_BLOCK = 2**18


@dataclass(frozen=True)
class ClassLabel:
    """A class: ``id`` is 1…C, ``original_id`` the source's own, such as COCO's category id."""

    id: int
    name: str
    original_id: int


@dataclass(frozen=True)
class Shard:
    """One TFRecord file, named relative to the manifest's folder; ``bytes`` is its size.

    ``record_bytes`` is the length of each serialized record. It tells a reader where each record
    begins, even if something before it is damaged.
    """

    file: str
    num_records: int
    bytes: int
    sha256: str
    record_bytes: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """A record set.

    ``num_objects`` includes difficult and crowd objects; ``max_objects`` is the most in one image;
    ``num_pixels`` is the sum of height x width over all images; ``per_class`` is {name: {objects,
    difficult, crowd, images}}; ``histograms`` is {name: {edges, counts}}, where bin i reaches from
    edge i up to the next and the last is open; ``rejects`` is {reason: lines of rejects.jsonl} and
    ``actions`` {"images dropped: damaged": images} and so on; ``formats`` is {format of the image's
    file: images} and ``notes`` {what was done with the image: images}; ``flags`` are the flags that
    the set was made with.
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
    histograms: dict[str, dict[str, list[float]]]
    shards: tuple[Shard, ...]
    rejects: dict[str, int]
    flags: tuple[str, ...]
    source: dict[str, object]
    formats: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; label i is ``class_names[i - 1]``."""
        return tuple(item.name for item in self.classes)

    @property
    def original_ids(self) -> tuple[int, ...]:
        """The source's own id of each class, in label order."""
        return tuple(item.original_id for item in self.classes)

    @property
    def has_string_ids(self) -> bool:
        """Whether the source's image ids are strings, even those that look like numbers."""
        return self.source.get(IMAGE_IDS) == "string"

    @property
    def num_classes(self) -> int:
        """The number of classes, without the background."""
        return len(self.classes)

    @property
    def shard_paths(self) -> tuple[str, ...]:
        """The paths of the TFRecord files, in record order."""
        return tuple(os.path.join(self.directory, shard.file) for shard in self.shards)

    @property
    def shard_records(self) -> tuple[int, ...]:
        """The number of records in each shard."""
        return tuple(shard.num_records for shard in self.shards)

    def save(self) -> None:
        """Writes manifest.json into ``directory``, under a temporary name first."""
        content = dataclasses.asdict(self)
        del content["directory"]
        path = os.path.join(self.directory, FILE_NAME)
        # Each shard has its checksum already; these are the other files'.
        content["sha256"] = {REJECTS_NAME: _file_digest(self.directory, REJECTS_NAME)}
        content["sha256"][FILE_NAME] = _content_digest(content)
        # File names on disk need not be UTF-8; bytes that are not are escaped.
        with open(path + ".tmp", "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(_to_json(content))
            # Before the rename: after a crash, the name must not stand for an empty file.
            file.flush()
            os.fsync(file.fileno())
        # Replaces an older manifest in one step: a reader finds the old one or the new one.
        os.replace(path + ".tmp", path)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "Manifest":
        """Reads the manifest of ``directory``; all shards must be there, with their full size.

        Args:
            directory: the folder of a record set.

        Raises:
            InputError: anything is missing or does not fit. Checksums are not verified.
        """
        directory = os.fspath(directory)
        path = os.path.join(directory, FILE_NAME)
        content = _read_json(path)
        content["classes"] = _classes(path, content)
        _check_fields(path, content, manifest_fields.FIELDS)
        # Not a field: only file_digests() reads it.
        content.pop("sha256", None)
        _check_keys(path, content)
        content["shards"] = tuple(
            Shard(**{**item, "record_bytes": tuple(item["record_bytes"])})
            for item in content["shards"]
        )
        content["flags"] = tuple(content["flags"])
        manifest = cls(directory=directory, **content)
        _check_shards(path, manifest)
        return manifest


def file_digests(directory: str | os.PathLike[str]) -> dict[str, tuple[str, str]]:
    """Returns the checksums of the files beside the shards.

    Args:
        directory: the folder of a record set.

    Returns:
        {file: (sha256 in manifest.json, actual sha256)}; the latter is "" if there is no such file.
        That of manifest.json itself is of its content without this checksum.

    Raises:
        InputError: manifest.json is missing or cannot be read.
    """
    path = os.path.join(directory, FILE_NAME)
    content = _read_json(path)
    _check_fields(path, content, manifest_fields.FIELDS)
    wanted = content.get("sha256")
    if wanted is None:
        return {FILE_NAME: ("a sha256", "none")}
    # Taken out, so that what is left is the content that save() computed it from.
    own = wanted.pop(FILE_NAME, "")
    found = {file: (digest, _file_digest(directory, file)) for file, digest in wanted.items()}
    return {FILE_NAME: (own, _content_digest(content)), **found}


def _content_digest(content: Mapping[str, object]) -> str:
    # Of the content rather than the text, as the checksum itself stands in the file.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_digest(directory: str | os.PathLike[str], name: str) -> str:
    digest = hashlib.sha256()
    # The name comes from a manifest, and must not lead out of the folder.
    path = os.path.join(directory, os.path.basename(name))
    # Opening a pipe would wait for ever.
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            # In blocks: there may be as many rejects as objects.
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def load_manifests(directories: Iterable[str | os.PathLike[str]]) -> tuple[Manifest, ...]:
    """Reads the manifests of several record sets, whose class names must be the same, in order.

    The source's own ids may differ: each set has those of its own source.

    Args:
        directories: the folders of the sets.

    Raises:
        InputError: the class names differ; the message quotes both. Or as ``Manifest.load``.
    """
    manifests = tuple(Manifest.load(directory) for directory in directories)
    for other in manifests[1:]:
        if other.class_names != manifests[0].class_names:
            raise InputError(
                f"{other.directory}: classes are [{', '.join(other.class_names)}], but "
                f"{manifests[0].directory} has [{', '.join(manifests[0].class_names)}]; they must "
                "be the same, in the same order: convert with --classes="
                f"{os.path.join(manifests[0].directory, FILE_NAME)}"
            )
    return manifests


def load_classes(path: str | os.PathLike[str]) -> tuple[ClassLabel, ...]:
    """Reads only the class list of a manifest.json; its shards need not be there.

    Args:
        path: the file.

    Raises:
        InputError: the file cannot be read, is of another version, or has a faulty class list.
    """
    path = os.fspath(path)
    return _classes(path, _read_json(path))


def _classes(path: str, content: Mapping[str, Any]) -> tuple[ClassLabel, ...]:
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version {reprlib.repr(version)}: must be {SCHEMA_VERSION}; convert "
            "again"
        )
    if "classes" not in content:
        raise InputError(f"{path}: not a complete manifest: classes is missing; convert again")
    _check_fields(path, content, manifest_fields.CLASSES)
    classes = tuple(ClassLabel(**item) for item in content["classes"])
    ids = [item.id for item in classes]
    if ids != list(range(1, len(ids) + 1)) or len({item.name for item in classes}) != len(ids):
        raise InputError(
            f"{path}: class ids {reprlib.repr(ids)}: must be 1 to C, with unique names; convert "
            "again"
        )
    original_ids = [item.original_id for item in classes]
    if len({*original_ids}) != len(ids):
        raise InputError(
            f"{path}: original ids {reprlib.repr(original_ids)}: must be different whole numbers; "
            "convert again"
        )
    return classes


def _to_json(content: Mapping[str, object]) -> str:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    # Puts each list of numbers on one line: record_bytes has as many numbers as there are records.
    return re.sub(r"\[[\d.,\s]+\]", lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


def _read_json(path: str) -> dict[str, Any]:
    try:
        return manifest_fields.read_object(path)
    # NotADirectoryError: the folder is a file, such as a shard. ValueError: a null character.
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{os.path.dirname(path) or '.'}: no {FILE_NAME}: must be a folder that "
            "`ssd-tfrecord convert-voc` or `convert-coco` has finished writing; for TFRecords made "
            "by another tool, run `ssd-tfrecord inspect --index` first"
        ) from None
    except FieldError as error:
        raise InputError(f"{path}: {error}; convert again") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r}: cannot be read: {error}") from None


def _check_fields(
    path: str, content: Mapping[str, object], checks: Mapping[str, manifest_fields.Check]
) -> None:
    try:
        manifest_fields.check(content, checks)
    except FieldError as error:
        raise InputError(f"{path}: {error}; convert again") from None


def _check_keys(path: str, content: Mapping[str, object]) -> None:
    fields = {item.name: item for item in dataclasses.fields(Manifest) if item.name != "directory"}
    optional = {name for name, item in fields.items() if item.default_factory is not MISSING}
    if missing := fields.keys() - optional - content.keys():
        raise InputError(
            f"{path}: not a complete manifest: {', '.join(sorted(missing))} is missing; convert "
            "again"
        )
    if unknown := content.keys() - fields.keys():
        raise InputError(
            f"{path}: {reprlib.repr(min(unknown))} is no field of a manifest; convert again"
        )


def _check_shards(path: str, manifest: Manifest) -> None:
    names = Counter(shard.file for shard in manifest.shards)
    if repeated := [file for file, count in names.items() if count > 1]:
        raise InputError(
            f"{path}: shards: {repeated[0]} is listed {names[repeated[0]]} times: must be once; "
            "convert again"
        )
    for file, shard in zip(manifest.shard_paths, manifest.shards):
        size = os.path.getsize(file) if os.path.isfile(file) else None
        if size is None:
            raise InputError(
                f"{path}: shard {shard.file} is missing; copy it again, or convert again"
            )
        if size != shard.bytes:
            raise InputError(
                f"{file}: has {size} bytes, must have {shard.bytes}; copy it again, or convert "
                "again"
            )
        # A reader seeks by these numbers, so they must lead exactly to the end of the file.
        frames = sum(shard.record_bytes) + FRAME_BYTES * len(shard.record_bytes)
        if frames != shard.bytes or len(shard.record_bytes) != shard.num_records:
            raise InputError(f"{path}: record_bytes of {shard.file} do not add up; convert again")
    if sum(manifest.shard_records) != manifest.num_records:
        raise InputError(
            f"{path}: shards hold {sum(manifest.shard_records)} records, but num_records is "
            f"{manifest.num_records}; convert again"
        )
