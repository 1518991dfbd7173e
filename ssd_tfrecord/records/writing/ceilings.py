"""How much a conversion may drop: a policy for strays must not empty a set in silence."""

import collections
import reprlib
from collections.abc import Iterable, Mapping

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.rejects import DROPPED, Reject
from ssd_tfrecord.records.sources.source_set import SourceSet
from ssd_tfrecord.records.sources.survey import Survey
from ssd_tfrecord.records.statistics import WITH_IMAGE, Statistics, action_of

# As few as this are strays, whatever their share.
_MIN_ITEMS = 10
# How much of an example a message quotes.
_MAX_QUOTED = 300


class Examples:
    """The first that was dropped for each reason, in words, by the keys of Manifest.actions."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, rejected: Iterable[Reject]) -> None:
        """Keeps an example of each reason that is new."""
        for item in rejected:
            if item.action != DROPPED:
                continue
            key = action_of(item)
            if key not in self.texts:
                self.texts[key] = _text(item)
            if item.num_objects:
                self.texts.setdefault(WITH_IMAGE, _text(item))

    def merge(self, texts: Mapping[str, str]) -> None:
        """Adds the ``texts`` of another part of the set."""
        self.texts = {**texts, **self.texts}


def _text(item: Reject) -> str:
    where = f"{item.file}: object {item.object}" if item.object > 0 else item.file
    name = f" ({reprlib.repr(item.name)})" if item.name else ""
    detail = f": {item.detail}" if item.detail else ""
    text = f"{where}{name}{detail}"
    return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…"


class Ceiling:
    """What was found in a set, and how much of it may be dropped.

    Args:
        sources: the set.
        surveyed: its Survey.
        max_dropped: the percentage that may be dropped for one reason.
    """

    def __init__(self, sources: SourceSet, surveyed: Survey, max_dropped: float) -> None:
        self._max_dropped, self._examples = max_dropped, Examples()
        of_reader = Statistics(())
        for item in sources.rejects:
            of_reader.add_rejects([item])
            self._examples.add([item])
        self._of_reader = of_reader.actions
        # The survey sees what the reader has left.
        self._num_images = surveyed.num_images + sum(_dropped(self._of_reader, "images").values())
        self._num_objects = surveyed.num_objects + sum(
            _dropped(self._of_reader, "objects").values()
        )
        self._classes = collections.Counter(sources.lost)
        self._classes.update({name: found.count for name, found in surveyed.classes.items()})

    def check_reader(self) -> None:
        """Checks what the reader has dropped, before anything is written.

        Raises:
            InputError: too much.
        """
        self._check(self._of_reader)

    def check(self, statistics: Statistics, examples: Iterable[Mapping[str, str]]) -> None:
        """Checks what has been dropped of the whole set.

        Args:
            statistics: of the set, with the reader's rejects.
            examples: {key of ``statistics.actions``: an example in words} of each shard.

        Raises:
            InputError: all objects are dropped, too many images or objects for one reason, or all
                objects of a class.
        """
        for texts in examples:
            self._examples.merge(texts)
        self._check(statistics.actions)
        if self._max_dropped < 100:
            self._check_classes(statistics)

    def _check(self, actions: Mapping[str, int]) -> None:
        lost = _dropped(actions, "objects")
        if lost and sum(lost.values()) >= self._num_objects:
            raise InputError(
                f"no object is left: {self._num_objects} of {self._num_objects} would be dropped "
                f"({_listed(lost)})"
                f"{self._example('objects', lost)}; correct the annotations or the flags"
            )
        for kind, total in (("images", self._num_images), ("objects", self._num_objects)):
            dropped = _dropped(actions, kind)
            reason = max(dropped, key=lambda name: dropped[name], default="")
            count = dropped.get(reason, 0)
            if count >= _MIN_ITEMS and 100 * count > self._max_dropped * total:
                raise InputError(
                    f"{count} of {total} {kind} ({100 * count / total:.0f}%) would be dropped: "
                    f"{reason}{self._example(kind, {reason: count})}; correct them, or pass "
                    f"--max_dropped=100 to accept it (now {self._max_dropped:g})"
                )

    def _check_classes(self, statistics: Statistics) -> None:
        gone = [
            name
            for name, counts in statistics.per_class.items()
            if not counts["objects"] and self._classes[name]
        ]
        if gone:
            lost = _dropped(statistics.actions, "objects")
            others = f", and {len(gone) - 1} more classes theirs" if len(gone) > 1 else ""
            raise InputError(
                f"class {reprlib.repr(gone[0])} would lose all its objects "
                f"({self._classes[gone[0]]}){others}; dropped in the whole set: {_listed(lost)}"
                f"{self._example('objects', lost)}; correct them, or pass --max_dropped=100 to "
                "accept it"
            )

    def _example(self, kind: str, dropped: Mapping[str, int]) -> str:
        reason = max(dropped, key=lambda name: dropped[name])
        text = self._examples.texts.get(f"{kind} {DROPPED}: {reason}")
        return f", such as {text}" if text else ""


def _dropped(actions: Mapping[str, int], kind: str) -> dict[str, int]:
    """{reason: count} of the ``images`` or ``objects`` that were dropped."""
    begin = f"{kind} {DROPPED}: "
    return {
        key.removeprefix(begin): count for key, count in actions.items() if key.startswith(begin)
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items())
