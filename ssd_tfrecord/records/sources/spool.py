"""Sequences that lie on disk, so that a set of a million images takes no more memory than one."""

import dataclasses
import json
import os
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import Reject
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceObject

# Where SQLite keeps temporary files: the first that is a folder and can be written to.
_PLACES = ("$SQLITE_TMPDIR", "$TMPDIR", "/var/tmp", "/usr/tmp", "/tmp", ".")


@dataclass(frozen=True)
class Codec:
    """How a kind of items is kept: ``key`` is what one is found by, and need not be its own alone;
    ``to_line`` makes it a line of ASCII, ``from_line`` the item again.
    """

    key: Callable[[object], str]
    to_line: Callable[[object], str]
    from_line: Callable[[str], object]


class Spool(Sequence):
    """A sequence that grows by ``append``.

    It lies in a file without a name, which ends with the process: SQLite's temporary database, in
    $SQLITE_TMPDIR, $TMPDIR or /var/tmp. Its first two megabytes stay in memory. Whatever needs that
    file raises InputError where it cannot be written or read.
    """

    def __init__(self, codec: Codec, items: Iterable = ()):
        self._codec, self._length = codec, 0
        # The collector may run in any thread.
        self._database = sqlite3.connect("", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        self._execute("PRAGMA journal_mode = OFF")
        self._execute("CREATE TABLE items (number INTEGER PRIMARY KEY, key, line)")
        for item in items:
            self.append(item)

    def append(self, item):
        """Adds ``item`` as the last one."""
        row = (self._length, _blob(self._codec.key(item)), self._codec.to_line(item))
        self._execute("INSERT INTO items VALUES (?, ?, ?)", row)
        self._length += 1

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(self._length)))
        number = range(self._length)[index]
        (item,) = self._items("WHERE number = ?", number)
        return item

    def __iter__(self):
        return self._items("ORDER BY number")

    def lines_by(self, rank: Callable[[bytes], bytes]) -> Iterator[str]:
        """The lines of all items, sorted by ``rank`` of their keys in UTF-8."""
        self._database.create_function("rank", 1, rank, deterministic=True)
        return self._rows("SELECT line FROM items ORDER BY rank(key), number")

    def of_key(self, key: str) -> list:
        """The items with this key, in their order."""
        self._index()
        return list(self._items("WHERE key = ? ORDER BY number", _blob(key)))

    def repeated_keys(self) -> list[str]:
        """The keys that several items have, sorted."""
        self._index()
        keys = self._rows("SELECT key FROM items GROUP BY key HAVING COUNT(*) > 1 ORDER BY key")
        return [key.decode("utf-8", "surrogatepass") for key in keys]

    def _index(self):
        # Not before all is there: it is then sorted once.
        self._execute("CREATE INDEX IF NOT EXISTS by_key ON items (key)")

    def _items(self, clause, *values):
        return map(self._codec.from_line, self._rows("SELECT line FROM items " + clause, *values))

    def _rows(self, query, *values):
        # A generator of a method, so that the database stays open for it.
        try:
            for (value,) in self._database.execute(query, values):
                yield value
        except sqlite3.OperationalError as error:
            raise _named(error) from None

    def _execute(self, query, values=()):
        try:
            return self._database.execute(query, values)
        except sqlite3.OperationalError as error:
            raise _named(error) from None


def _named(error):
    places = map(os.path.expandvars, _PLACES)
    place = next((name for name in places if os.access(name, os.W_OK | os.X_OK)), ".")
    return InputError(
        f"{place}: SQLite cannot keep annotations there: {error}; make room, or set "
        "SQLITE_TMPDIR to a folder that has it"
    )


def _blob(key):
    # What is no UTF-8 in a file's name is half a character in Python, which is no text to SQLite.
    return key.encode("utf-8", "surrogatepass")


def _fields(kind, without=()):
    return [item.name for item in dataclasses.fields(kind) if item.name not in without]


_IMAGE = _fields(SourceImage, without=("size", "objects"))
_OBJECT = _fields(SourceObject, without=("box",))
_REJECT = _fields(Reject, without=("box",))


def _values(item, names):
    return [getattr(item, name) for name in names]


def _image_to_line(image):
    objects = [[item.box, *_values(item, _OBJECT)] for item in image.objects]
    return json.dumps([image.size, objects, *_values(image, _IMAGE)])


def _image_from_line(line):
    size, objects, *values = json.loads(line)
    return SourceImage(
        **dict(zip(_IMAGE, values)), size=_tuple(size), objects=tuple(map(_object, objects))
    )


def _object(values):
    box, *others = values
    return SourceObject(**dict(zip(_OBJECT, others)), box=tuple(box))


def _reject_to_line(reject):
    return json.dumps([reject.box, *_values(reject, _REJECT)])


def _reject_from_line(line):
    box, *values = json.loads(line)
    return Reject(**dict(zip(_REJECT, values)), box=_tuple(box))


def _tuple(values):
    return values if values is None else tuple(values)


# By source_id, and by the annotation file.
IMAGES = Codec(lambda image: image.source_id, _image_to_line, _image_from_line)
REJECTS = Codec(lambda reject: reject.file, _reject_to_line, _reject_from_line)
