"""Reads the lists in a JSON object item by item: the whole file is never in memory."""

import json
import re
import reprlib
from collections.abc import Callable, Iterator
from typing import Any, TextIO

# Characters that are read at once.
_CHUNK = 2**20
# The most characters of one item. COCO's largest, a crowd's mask, has some ten thousand; an item of
# empty lists takes 24 times as many bytes of memory.
MAX_ITEM = 2**22
_NO_SPACE = re.compile(r"[^ \t\n\r]")
# An error this close to the end of the text may come from a token that the chunk has cut. Strings
# may be longer, but have an error of their own.
_LONGEST_TOKEN = 32
# Characters of a number that the decoder leaves out if the text ends behind them: "e+" of 1e+5.
_LONGEST_CUT = 2


class NoObjectError(ValueError):
    """A file that is not a JSON object: it begins with ``found`` instead."""

    def __init__(self, found: str) -> None:
        super().__init__(f"begins with {found!r}: must be an object")
        self.found = found


def read_items(
    file: TextIO,
    decoder: json.JSONDecoder,
    advance: Callable[[int], object] = lambda count: None,
) -> Iterator[tuple[str, object, bool]]:
    """Yields (key, value, is_item) for each item of the object's lists, and for its other values.

    A list without items is yielded as a value, which is the empty list.

    Args:
        file: the text of a JSON object.
        decoder: decodes items and values.
        advance: called with the number of characters that were read since the last call.

    Raises:
        NoObjectError: the file does not begin like an object.
        ValueError: it is not JSON, the object has a duplicate key, or an item is too long.
        RecursionError: an item is nested too deeply.
    """
    text = _Text(file, decoder, advance)
    if (found := text.peek()) != "{":
        raise NoObjectError(found)
    text.take("{", "Expecting '{'")
    if text.peek() == "}":
        text.take("}", "Expecting '}'")
    else:
        yield from _members(text)
    if text.peek():
        raise text.error("Expecting the end")


def _members(text: "_Text") -> Iterator[tuple[str, object, bool]]:
    seen: set[str] = set()
    while True:
        if text.peek() != '"':
            raise text.error("Expecting a key")
        key = text.value()
        if key in seen:
            raise text.error(f"duplicate key {reprlib.repr(key)}")
        seen.add(key)
        text.take(":", "Expecting ':'")
        if text.peek() == "[":
            yield from _items(text, key)
        else:
            yield key, text.value(), False
        if text.take(",}", "Expecting ',' or '}'") == "}":
            return


def _items(text: "_Text", key: str) -> Iterator[tuple[str, object, bool]]:
    text.take("[", "Expecting '['")
    if text.peek() == "]":
        text.take("]", "Expecting ']'")
        yield key, [], False
        return
    while True:
        yield key, text.value(), True
        if text.take(",]", "Expecting ',' or ']'") == "]":
            return


class _Text:
    """The part of the file that has been read but not used yet."""

    def __init__(
        self, file: TextIO, decoder: json.JSONDecoder, advance: Callable[[int], object]
    ) -> None:
        self._file, self._decoder, self._advance = file, decoder, advance
        # _before counts the characters ahead of _text, for the positions in messages.
        self._text, self._position, self._before, self._ended = "", 0, 0, False

    def peek(self) -> str:
        """Returns the next character that is not white space, or "" at the end."""
        while True:
            if found := _NO_SPACE.search(self._text, self._position):
                self._position = found.start()
                return found[0]
            self._position = len(self._text)
            if not self._more():
                return ""

    def take(self, allowed: str, problem: str) -> str:
        """Returns the next character, which must be one of ``allowed``, and moves past it."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.error(problem)
        self._position += 1
        return found

    def value(self) -> Any:
        """Returns the next JSON value, and moves past it."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if self._is_final(error):
                    raise self.error(error.msg, error.pos) from None
            except ValueError as error:
                # From the decoder's hook, or from int() for too many digits, which adds advice for
                # programmers after a semicolon.
                raise self.error(str(error).partition(";")[0]) from None
            else:
                # A number at the end of the text may go on in the next chunk.
                if end + _LONGEST_CUT < len(self._text) or self._ended:
                    self._position = end
                    return value
            if len(self._text) - self._position > MAX_ITEM:
                raise self.error(f"a value must have at most {MAX_ITEM} characters")
            self._more()

    def error(self, problem: str, position: int | None = None) -> ValueError:
        """Makes the ValueError for a problem at a position of the text; default: the next."""
        position = self._position if position is None else position
        return ValueError(f"{problem} (character {self._before + position})")

    def _is_final(self, error: json.JSONDecodeError) -> bool:
        """Returns whether the error would remain with more text."""
        cut = error.msg.startswith("Unterminated") or (error.pos > len(self._text) - _LONGEST_TOKEN)
        return self._ended or not cut

    def _more(self) -> bool:
        """Reads more text; returns False at the end of the file."""
        rest = self._text[self._position :]
        # Doubles what is waiting, as decoding starts over with each chunk. This keeps it linear.
        again = min(len(rest), MAX_ITEM - len(rest))
        chunk = self._file.read(max(_CHUNK, again))
        self._before += self._position
        self._text, self._position, self._ended = rest + chunk, 0, not chunk
        self._advance(len(chunk))
        return bool(chunk)
