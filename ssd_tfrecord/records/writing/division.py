"""A set divided at random into train, val and test, by the content of its images.

Each class is divided near the fractions, in the order of Sechidis, Tsoumakas and Vlahavas, "On the
stratification of multi-label data" (2011): the images of the rarest class first. Each goes to the
part where Pearson's chi-squared of all classes together grows least. Images of equal bytes are one,
wherever they lie, so that none is trained on and tested on.
"""

import collections
import dataclasses
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import workers
from ssd_tfrecord.records.processes.progress import bar
from ssd_tfrecord.records.sources import spool
from ssd_tfrecord.records.sources.source_set import SourceImage, SourceSet
from ssd_tfrecord.records.sources.spool import Spool

_BLOCK = 2**18
# Images that differ are never taken for one: of 10^9 images, by chance two with odds of 1 to 10^20.
_DIGEST_BYTES = 16

# What a worker needs to find an image's bytes: path, offset, number of bytes (0: all), source_id.
_Place = tuple[str, int, int, str]


@dataclass
class Group:
    """Images of equal content: ``counts`` is {class name: objects} of all of them together."""

    digest: bytes
    counts: dict[str, int]
    num_images: int = 0


def divide(
    sources: SourceSet, fractions: Mapping[str, float], seed: int, num_workers: int = 1
) -> dict[str, SourceSet]:
    """Divides a set; the result depends on content, fractions and seed alone.

    Args:
        sources: the set.
        fractions: {name of a part: its share of the images}, each above 0, which sum to 1.
        seed: of the order in which images that are alike are taken.
        num_workers: number of processes that read images; 0: one per core, fewer for few images.

    Returns:
        {name: part}.

    Raises:
        InputError: an image cannot be read, or there are too few for the parts.
    """
    groups: dict[bytes, Group] = {}
    digests = []
    with bar(len(sources.images), " images", "division") as progress:
        for image, digest in zip(sources.images, _digests(sources, num_workers)):
            group = groups.setdefault(digest, Group(digest, {}))
            group.num_images += 1
            for item in image.objects:
                group.counts[item.name] = group.counts.get(item.name, 0) + 1
            # The group's own bytes, so that those of a duplicate need no memory.
            digests.append(group.digest)
            progress.update()
    part_of = assign(list(groups.values()), fractions, seed)
    if empty := [name for name in fractions if name not in part_of.values()]:
        raise InputError(
            f"--split: {len(groups)} different images are too few: {empty[0]} would have none"
        )
    return _parts(sources, [part_of[digest] for digest in digests], list(fractions))


def _digests(sources: SourceSet, num_workers: int) -> Iterator[bytes]:
    number = workers.choose_number(num_workers, len(sources.images), len(sources.images))
    places = (
        (image.image_path, image.offset, image.num_bytes, image.source_id)
        for image in sources.images
    )
    return workers.map_in_order(_digest, places, number)


def _digest(place: _Place) -> bytes:
    """The beginning of the sha256 of an image's bytes; of a missing image, that of its id."""
    path, offset, num_bytes, source_id = place
    digest = hashlib.sha256()
    try:
        # Reading a pipe would block, and a device has no end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileNotFoundError
        with open(path, "rb", buffering=0) as file:
            file.seek(offset)
            left = num_bytes or os.fstat(file.fileno()).st_size
            while left > 0 and (block := file.read(min(left, _BLOCK))):
                digest.update(block)
                left -= len(block)
    except (FileNotFoundError, NotADirectoryError):
        # The conversion will say that it is missing.
        digest.update(source_id.encode("utf-8", "surrogatepass"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r}: cannot be read: {error}") from None
    return digest.digest()[:_DIGEST_BYTES]


def assign(groups: Sequence[Group], fractions: Mapping[str, float], seed: int) -> dict[bytes, str]:
    """Chooses the part of each group.

    Args:
        groups: all groups, in any order.
        fractions: as of ``divide``.
        seed: as of ``divide``.

    Returns:
        {digest: name of the part}.
    """
    wanted = _Wanted(groups, fractions)

    # Of equal counts, in an order of chance that any machine finds again.
    def rank(group: Group) -> bytes:
        return hashlib.sha256(b"%d/%s" % (seed, group.digest)).digest()

    turns = _in_turn(sorted(groups, key=rank))
    return {group.digest: wanted.take(group) for group in turns}


def _in_turn(groups: Sequence[Group]) -> Iterator[Group]:
    """Yields each group once: those of the class that is the rarest in what is left.

    Of a class, groups with many objects come first: those with few then fill the gaps.
    """
    members: dict[str, list[Group]] = collections.defaultdict(list)
    left: collections.Counter[str] = collections.Counter()
    for group in groups:
        left.update(group.counts)
        for name in group.counts:
            members[name].append(group)
    done: set[bytes] = set()
    while left:
        rarest = min(left, key=lambda name: (left[name], name))
        # Sorting keeps the order of equal ones.
        found = [group for group in members[rarest] if group.digest not in done]
        for group in sorted(found, key=lambda group: -group.counts[rarest]):
            yield group
            done.add(group.digest)
            left.subtract({name: count for name, count in group.counts.items() if name in left})
        del left[rarest]
    yield from (group for group in groups if group.digest not in done)


class _Wanted:
    """How much of each class every part still lacks; the class "" stands for images."""

    def __init__(self, groups: Sequence[Group], fractions: Mapping[str, float]) -> None:
        totals: collections.Counter[str] = collections.Counter()
        for group in groups:
            totals.update(_counts(group))
        self._expected = {
            part: {name: share * total for name, total in totals.items()}
            for part, share in fractions.items()
        }
        self._lacking = {part: dict(counts) for part, counts in self._expected.items()}

    def take(self, group: Group) -> str:
        """Gives a group to the part that it fits best; returns the part."""
        counts = _counts(group)

        def growth(part: str) -> float:
            # Of the sum of (observed - expected)² / expected, in which what lacks is expected but
            # not observed. The parts so fill up side by side, and images of all kinds come into
            # each; what is too rare for all parts goes to the largest.
            lacking, expected = self._lacking[part], self._expected[part]
            return sum(
                count * (count - 2 * lacking[name]) / expected[name]
                for name, count in counts.items()
            )

        part = min(self._expected, key=growth)
        for name, count in counts.items():
            self._lacking[part][name] -= count
        return part


def _counts(group: Group) -> dict[str, int]:
    return {**group.counts, "": group.num_images}


def _parts(sources: SourceSet, chosen: Sequence[str], names: Sequence[str]) -> dict[str, SourceSet]:
    images = {name: Spool(spool.IMAGES) for name in names if name in chosen}
    for image, name in zip(sources.images, chosen):
        images[name].append(image)
    rejects = {name: Spool(spool.REJECTS) for name in images}
    part_of = _Finder(images)
    for reject in sources.rejects:
        rejects[part_of(reject.source_id)].append(reject)
    first = next(iter(images), "")
    return {
        name: dataclasses.replace(
            sources,
            images=images[name],
            origin={**sources.origin, "split": name},
            # What concerns all of them is said once.
            notes=sources.notes if name == first else (),
            rejects=rejects[name],
            lost=sources.lost if name == first else {},
        )
        for name in images
    }


class _Finder:
    """Finds the part that has an image; of an image that has been dropped, the first part."""

    def __init__(self, images: Mapping[str, Spool[SourceImage]]) -> None:
        self._images = images
        # Rejects of one image follow each other.
        self._last: tuple[str, str] = ("", next(iter(images), ""))

    def __call__(self, source_id: str) -> str:
        if source_id != self._last[0]:
            found = (name for name, items in self._images.items() if items.of_key(source_id))
            self._last = source_id, next(found, next(iter(self._images)))
        return self._last[1]
