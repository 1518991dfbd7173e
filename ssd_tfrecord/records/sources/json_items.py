"""The items of the lists in a JSON object, one by one: the file is never in memory as a whole."""

import json
import re
import reprlib
from collections.abc import Callable, Iterator
from typing import TextIO

_CHUNK = 2**20
# Characters of one item; COCO's largest, a crowd's mask, has some ten thousand. Empty lists take 24
# times as many bytes.
MAX_ITEM = 2**22
_SPACE = re.compile(r"[ \t\n\r]*")
# A token that the chunk has cut is shorter, but for a string.
_LONGEST_TOKEN = 32
# What of a number is read as a shorter one, where the chunk ends behind it: "e+" of 1e+5.
_LONGEST_CUT = 2


class NoObjectError(ValueError):
    """A file that is no JSON object: it begins with ``found`` instead."""

    def __init__(self, found: str):
        super().__init__(f"begins with {found!r}: must be an object")
        self.found = found


def read_items(
    file: TextIO, decoder: json.JSONDecoder, advance: Callable[[int], None] = lambda count: None
) -> Iterator[tuple[str, object, bool]]:
    """Yields (key, value, is_item): each item of the object's lists, and its other values.

    A list without items is yielded as a value, which is the empty list.

    Args:
        decoder: of items and values.
        advance: called with a number of characters that were read.

    Raises:
        NoObjectError; ValueError for what is no JSON, has a key twice or an item that is too long;
        RecursionError for what is nested too deeply.
    """
    text = _Text(file, decoder, advance)
    if (found := text.peek()) != "{":
        raise NoObjectError(found)
    text.take("{", "must be '{'")
    if text.peek() == "}":
        text.take("}", "must be '}'")
    else:
        yield from _members(text)
    if text.peek():
        raise text.error("must be the end")


def _members(text):
    seen = set()
    while True:
        if text.peek() != '"':
            raise text.error("must be a key")
        key = text.value()
        if key in seen:
            raise text.error(f"the key {reprlib.repr(key)} is there twice")
        seen.add(key)
        text.take(":", "must be ':'")
        if text.peek() == "[":
            yield from _items(text, key)
        else:
            yield key, text.value(), False
        if text.take(",}", "must be ',' or '}'") == "}":
            return


def _items(text, key):
    text.take("[", "must be '['")
    if text.peek() == "]":
        text.take("]", "must be ']'")
        yield key, [], False
        return
    while True:
        yield key, text.value(), True
        if text.take(",]", "must be ',' or ']'") == "]":
            return


class _Text:
    """What has been read of the file and is not used yet."""

    def __init__(self, file, decoder, advance):
        self._file, self._decoder, self._advance = file, decoder, advance
        self._text, self._position, self._before, self._ended = "", 0, 0, False

    def peek(self):
        """The next character that is no space, "" at the end."""
        while True:
            self._position = _SPACE.match(self._text, self._position).end()
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._more():
                return ""

    def take(self, allowed, problem):
        """The next character, which must be one of ``allowed``."""
        found = self.peek()
        if not found or found not in allowed:
            raise self.error(problem)
        self._position += 1
        return found

    def value(self):
        """The JSON value that is next."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError as error:
                if self._is_final(error):
                    raise self.error(error.msg, error.pos) from None
            except ValueError as error:
                # The decoder's own hooks', and int()'s of too many digits, which ends with advice.
                raise self.error(str(error).partition(";")[0]) from None
            else:
                if end + _LONGEST_CUT < len(self._text) or self._ended:
                    self._position = end
                    return value
            if len(self._text) - self._position > MAX_ITEM:
                raise self.error(f"a value must have {MAX_ITEM} characters at most")
            self._more()

    def error(self, problem, position=None):
        """The ValueError of ``problem`` at a position of the text, by default the next one."""
        position = self._position if position is None else position
        return ValueError(f"{problem} (character {self._before + position})")

    def _is_final(self, error):
        """Whether no more text could mend it."""
        cut = error.msg.startswith("Unterminated") or (error.pos > len(self._text) - _LONGEST_TOKEN)
        return self._ended or not cut

    def _more(self):
        """Reads on; false at the end of the file."""
        rest = self._text[self._position :]
        # As much again as is waiting, so that a long value is not tried for every chunk.
        again = min(len(rest), MAX_ITEM - len(rest))
        chunk = self._file.read(max(_CHUNK, again))
        self._before += self._position
        self._text, self._position, self._ended = rest + chunk, 0, not chunk
        self._advance(len(chunk))
        return bool(chunk)
