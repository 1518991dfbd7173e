"""What a reader of VOC XML tells the user about a set: counts, each with the first example."""

import collections
from collections.abc import Iterator, Mapping


class VocNotes:
    """Counts what is unexpected in the XML files of one folder."""

    def __init__(self) -> None:
        self._num_read = 0
        # For images not found by <filename>: how often each other way was taken, and the first XML.
        self._ways: collections.Counter[str] = collections.Counter()
        self._first_of: dict[str, str] = {}
        # Values that are not as VOC has them: {kind as of VocFile.odd: how many}.
        self._odd: collections.Counter[str] = collections.Counter()

    def add(self, path: str, how: str, odd: Mapping[str, tuple[int, str]]) -> None:
        """Counts an XML.

        Args:
            path: the file.
            how: how its image was found, as of ``ImageFolder.find``.
            odd: as of ``VocFile``.
        """
        self._num_read += 1
        if how:
            self._ways[how] += 1
            self._first_of.setdefault(how, path)
        for kind, (count, first) in odd.items():
            self._odd[kind] += count
            self._first_of.setdefault(kind, f"{first}; first in {path}")

    def lines(self) -> Iterator[str]:
        """Yields a line for each kind of thing, sorted."""
        for how, count in sorted(self._ways.items()):
            fault, _, done = how.partition(":")
            files = f"{count} of {self._num_read} XML files"
            yield f"{fault} in {files} ({self._first_of[how]}):{done}"
        for kind, count in sorted(self._odd.items()):
            yield kind.format(
                objects=counted(count, "object"),
                files=counted(count, "XML file"),
                first=self._first_of[kind],
            )


def counted(count: int, noun: str) -> str:
    """Returns "1 object" or "2 objects"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
