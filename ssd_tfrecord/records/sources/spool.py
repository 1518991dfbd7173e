"""Sequences kept on disk, so that a set of a million images needs no more memory than one image."""

import dataclasses
import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject

Item = TypeVar("Item")

# Where SQLite puts temporary files: in the first of these folders that can be written to.
_PLACES = ("$SQLITE_TMPDIR", "$TMPDIR", "/var/tmp", "/usr/tmp", "/tmp", ".")


@dataclass(frozen=True)
class Codec(Generic[Item]):
    """How items of one kind are stored.

    ``key`` returns what an item is found by, which several may share; ``to_line`` turns an item
    into a line of ASCII, and ``from_line`` turns that into the item again.
    """

    key: Callable[[Item], str]
    to_line: Callable[[Item], str]
    from_line: Callable[[str], Item]


class Spool(Sequence[Item]):
    """A sequence that grows by ``append``.

    It is SQLite's temporary database: a file without a name in $SQLITE_TMPDIR, $TMPDIR or /var/tmp,
    which disappears with the process. The first two megabytes stay in memory. All methods raise
    InputError if that file cannot be written or read.
    """

    def __init__(self, codec: Codec[Item], items: Iterable[Item] = ()) -> None:
        self._codec, self._length = codec, 0
        # The garbage collector, which closes the database, may run in any thread.
        self._database = sqlite3.connect("", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        # Nothing is ever rolled back: the file does not outlive the process.
        self._execute("PRAGMA journal_mode = OFF")
        self._execute("CREATE TABLE items (number INTEGER PRIMARY KEY, key, line)")
        for item in items:
            self.append(item)

    def append(self, item: Item) -> None:
        """Adds ``item`` at the end."""
        row = (self._length, _blob(self._codec.key(item)), self._codec.to_line(item))
        self._execute("INSERT INTO items VALUES (?, ?, ?)", row)
        self._length += 1

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, index: int | slice) -> Item | tuple[Item, ...]:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(self._length)))
        # A range takes care of negative numbers, and raises IndexError.
        number = range(self._length)[index]
        (item,) = self._items("WHERE number = ?", number)
        return item

    def __iter__(self) -> Iterator[Item]:
        return self._items("ORDER BY number")

    def lines_by(self, rank: Callable[[bytes], bytes]) -> Iterator[str]:
        """Yields the lines of all items in the order of a rank.

        Args:
            rank: what to sort by, given an item's key in UTF-8; equal ranks keep their order.
        """
        self._database.create_function("rank", 1, rank, deterministic=True)
        return self._rows("SELECT line FROM items ORDER BY rank(key), number")

    def of_key(self, key: str) -> list[Item]:
        """Returns the items with this key, in their order."""
        self._index()
        return list(self._items("WHERE key = ? ORDER BY number", _blob(key)))

    def repeated_keys(self) -> list[str]:
        """Returns the keys that several items share, sorted."""
        self._index()
        keys = self._rows("SELECT key FROM items GROUP BY key HAVING COUNT(*) > 1 ORDER BY key")
        return [key.decode("utf-8", "surrogatepass") for key in keys]

    def _index(self) -> None:
        # Not until it is needed: nearly all items are there by then, and are sorted only once.
        self._execute("CREATE INDEX IF NOT EXISTS by_key ON items (key)")

    def _items(self, clause: str, *values: int | bytes) -> Iterator[Item]:
        return map(self._codec.from_line, self._rows("SELECT line FROM items " + clause, *values))

    def _rows(self, query: str, *values: int | bytes) -> Iterator[Any]:
        # A generator, as it holds self: the database stays open until it has been read.
        try:
            for (value,) in self._database.execute(query, values):
                yield value
        except sqlite3.OperationalError as error:
            raise _named(error) from None

    def _execute(self, query: str, values: tuple[int, bytes, str] | tuple[()] = ()) -> None:
        try:
            self._database.execute(query, values)
        except sqlite3.OperationalError as error:
            raise _named(error) from None


def _named(error: sqlite3.Error) -> InputError:
    places = map(os.path.expandvars, _PLACES)
    place = next((name for name in places if os.access(name, os.W_OK | os.X_OK)), ".")
    return InputError(
        f"{place}: SQLite cannot store annotations here: {error}; free some disk space, or set "
        "SQLITE_TMPDIR to a folder that has space"
    )


def _blob(key: str) -> bytes:
    # Python holds bytes of a file name that are not UTF-8 as lone surrogates, which SQLite does not
    # accept as text.
    return key.encode("utf-8", "surrogatepass")


def _fields(
    kind: type[SourceImage | SourceObject | Reject], without: Sequence[str] = ()
) -> list[str]:
    return [item.name for item in dataclasses.fields(kind) if item.name not in without]


# What JSON cannot restore by itself is left out: tuples would come back as lists.
_IMAGE = _fields(SourceImage, without=("size", "objects"))
_OBJECT = _fields(SourceObject, without=("box",))
_REJECT = _fields(Reject, without=("box",))


def _values(item: object, names: Sequence[str]) -> list[Any]:
    return [getattr(item, name) for name in names]


def _image_to_line(image: SourceImage) -> str:
    objects = [[item.box, *_values(item, _OBJECT)] for item in image.objects]
    return json.dumps([image.size, objects, *_values(image, _IMAGE)])


def _image_from_line(line: str) -> SourceImage:
    size, objects, *values = json.loads(line)
    return SourceImage(
        **dict(zip(_IMAGE, values)), size=_tuple(size), objects=tuple(map(_object, objects))
    )


def _object(values: list[Any]) -> SourceObject:
    box, *others = values
    return SourceObject(**dict(zip(_OBJECT, others)), box=tuple(box))


def _reject_to_line(reject: Reject) -> str:
    return json.dumps([reject.box, *_values(reject, _REJECT)])


def _reject_from_line(line: str) -> Reject:
    box, *values = json.loads(line)
    return Reject(**dict(zip(_REJECT, values)), box=_tuple(box))


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return values if values is None else tuple(values)


# Found by source_id, and by annotation file.
IMAGES: Codec[SourceImage] = Codec(lambda image: image.source_id, _image_to_line, _image_from_line)
REJECTS: Codec[Reject] = Codec(lambda reject: reject.file, _reject_to_line, _reject_from_line)
