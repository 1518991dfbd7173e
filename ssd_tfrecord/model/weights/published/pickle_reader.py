"""Reads the pickles that torch writes, with nothing of Python's that could be called.

A machine of its own for the opcodes that torch's files consist of, and no ``pickle.Unpickler`` with
a strict ``find_class``: that one still calls what REDUCE and NEWOBJ name, sets state with BUILD,
takes extensions (EXT1) from a cache past ``find_class``, and allocates what LONG_BINPUT, FRAME and
BYTEARRAY8 claim. Here a name stays a text, a call is a row of a table of ours (torch_tensors), and
every other opcode is refused; lengths are compared with what is left, and operations are counted.
Format: Python's ``pickletools``, protocols 2 to 5.
"""

import dataclasses
import struct
from collections.abc import Callable
from typing import Any

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.bounded_file import shown
from ssd_tfrecord.model.weights.published.torch_tensors import (
    NAMES,
    OPAQUE,
    Name,
    Opaque,
    Refused,
    Storage,
    storage_of,
)

# A state dict takes about 40 operations and 150 bytes a tensor; with Adam's moments for 600 tensors
# 96,000. An operation leaves at most 80 bytes or so in memory beside its own text.
MAX_BYTES = 2**22
_MAX_OPERATIONS = 250_000


@dataclasses.dataclass(frozen=True, slots=True)
class Unpickled:
    """A value of None, numbers, texts, lists, tuples, dictionaries, tensors and ``OPAQUE``.

    Dictionaries have only their entries with a text as key.

    Attributes:
        value: the value.
        end: offset behind its STOP.
        storages: {key: storage} of all that were referred to.
    """

    value: Any
    end: int
    storages: dict[str, Storage]


def unpickle(data: bytes, start: int, refused: Callable[[str], InputError]) -> Unpickled:
    """Reads the pickle at ``start``.

    Args:
        data: at most ``MAX_BYTES`` bytes, which the pickle must end within.
        start: offset of its first opcode.
        refused: makes the error of a file from the reason.

    Raises:
        InputError: from ``refused``: it is cut, it is damaged, or it holds or asks for anything
            that a state dict does not.
    """
    machine = _Machine(data, start)
    try:
        while not machine.stopped:
            machine.step()
        return Unpickled(machine.pop(), machine.place, machine.storages)
    except Refused as error:
        reason = str(error)
    # From arguments of another type or number, marks and memos that are not there, bad UTF-8.
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        reason = f"its pickle is damaged before byte {machine.place}"
    raise refused(reason)


class _Machine:
    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.place = start
        self.stopped = False
        self.storages: dict[str, Storage] = {}
        self._stack: list[Any] = []
        self._marks: list[int] = []
        # A dictionary: an index of 2^31 takes one entry.
        self._memo: dict[int, Any] = {}
        self._operations = 0

    def step(self) -> None:
        self._charge(1)
        opcode = self.take(1)
        if opcode not in _OPCODES:
            raise Refused(f"its pickle has the opcode {opcode!r}, which torch does not write")
        _OPCODES[opcode](self)

    def _charge(self, operations: int) -> None:
        self._operations += operations
        if self._operations > _MAX_OPERATIONS:
            raise Refused(f"its pickle has more than {_MAX_OPERATIONS} operations")

    def take(self, length: int) -> bytes:
        taken = self.data[self.place : self.place + length]
        if len(taken) < length:
            raise Refused("its pickle is cut")
        self.place += length
        return taken

    def integer(self, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(width), "little", signed=signed)

    def line(self) -> str:
        end = self.data.index(b"\n", self.place)
        return self.take(end + 1 - self.place)[:-1].decode()

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        if self._marks and self._marks[-1] == len(self._stack):
            raise IndexError("a mark")
        return self._stack.pop()

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[Any]:
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def store(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def memoize(self) -> None:
        self.store(len(self._memo))

    def fetch(self, index: int) -> None:
        self.push(self._memo[index])

    def name(self, module: Any, text: Any) -> None:
        if not (isinstance(module, str) and isinstance(text, str)):
            raise Refused("its pickle names no name")
        name = f"{module}.{text}"
        if name not in NAMES:
            raise Refused(
                f"asks for {shown(name)}, which no state dict needs (nothing was run); "
                "save it with torch.save(model.state_dict(), FILE)"
            )
        self.push(Name(name))

    def tuple_of(self, count: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def extend(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif target is not OPAQUE:
            raise TypeError("no list")

    def set_items(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict):
            keys, items = values[::2], values[1::2]
            # Hashing a tuple of tuples of … could take for ever; a tensor's name is a text.
            target.update((key, item) for key, item in zip(keys, items) if type(key) is str)
        elif target is not OPAQUE:
            raise TypeError("no dictionary")

    def call(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or type(arguments) is not tuple:
            raise Refused("its pickle calls what is no function")
        # Only OrderedDict([pairs]) takes time that its opcode does not show.
        self._charge(sum(len(value) for value in arguments if isinstance(value, list | tuple)))
        self.push(NAMES[function.text](*arguments))

    def build(self) -> None:
        # The state of an OrderedDict (its versions) or of what is not kept.
        self.pop()
        if not isinstance(self._stack[-1], dict | Opaque):
            raise Refused("its pickle sets the state of what has none")

    def persistent(self) -> None:
        kind, *place = self.pop()
        if kind != "storage":
            raise Refused(
                "is a whole pickled model (nothing was run); "
                "save it with torch.save(model.state_dict(), FILE)"
            )
        storage = storage_of(*place)
        known = self.storages.setdefault(storage.key, storage)
        if (known.width, known.count) != (storage.width, storage.count):
            raise Refused(f"storage {shown(storage.key)} has two sizes")
        self.push(storage)

    def stop(self) -> None:
        self.stopped = True


_OPCODES: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": lambda machine: _skip(machine, 1),  # PROTO
    b"\x95": lambda machine: _skip(machine, 8),  # FRAME: a hint for reading ahead
    b".": _Machine.stop,
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"K": lambda machine: machine.push(machine.integer(1)),
    b"M": lambda machine: machine.push(machine.integer(2)),
    b"J": lambda machine: machine.push(machine.integer(4, signed=True)),
    b"\x8a": lambda machine: machine.push(machine.integer(machine.integer(1), signed=True)),
    b"G": lambda machine: machine.push(struct.unpack(">d", machine.take(8))[0]),
    b"X": lambda machine: machine.push(machine.take(machine.integer(4)).decode()),
    b"\x8c": lambda machine: machine.push(machine.take(machine.integer(1)).decode()),
    # Texts of Python 2.
    b"U": lambda machine: machine.push(machine.take(machine.integer(1)).decode("latin-1")),
    b"T": lambda machine: machine.push(machine.take(machine.integer(4)).decode("latin-1")),
    # Bytes.
    b"C": lambda machine: machine.push(machine.take(machine.integer(1))),
    b"B": lambda machine: machine.push(machine.take(machine.integer(4))),
    b"]": lambda machine: machine.push([]),
    b"}": lambda machine: machine.push({}),
    b")": lambda machine: machine.push(()),
    b"(": _Machine.mark,
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    b"\x85": lambda machine: machine.tuple_of(1),
    b"\x86": lambda machine: machine.tuple_of(2),
    b"\x87": lambda machine: machine.tuple_of(3),
    b"a": lambda machine: machine.extend([machine.pop()]),
    b"e": lambda machine: machine.extend(machine.pop_to_mark()),
    b"s": lambda machine: machine.set_items([machine.pop(), machine.pop()][::-1]),
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),
    b"q": lambda machine: machine.store(machine.integer(1)),
    b"r": lambda machine: machine.store(machine.integer(4)),
    b"\x94": _Machine.memoize,
    b"h": lambda machine: machine.fetch(machine.integer(1)),
    b"j": lambda machine: machine.fetch(machine.integer(4)),
    b"c": lambda machine: machine.name(machine.line(), machine.line()),
    b"\x93": lambda machine: machine.name(*[machine.pop(), machine.pop()][::-1]),
    b"R": _Machine.call,
    b"\x81": _Machine.call,  # NEWOBJ: the same of a class
    b"b": _Machine.build,
    b"Q": _Machine.persistent,
}


def _skip(machine: _Machine, length: int) -> None:
    machine.take(length)
