"""A download from its flags to the command that converts it."""

import contextlib
import os
import pathlib
import shlex
import shutil
from collections.abc import Mapping, Sequence

from ssd_tfrecord.config import DownloadConfig
from ssd_tfrecord.datasets.download import http_transfer
from ssd_tfrecord.datasets.download.byte_bars import byte_bar, say, size_text
from ssd_tfrecord.datasets.download.catalogue import DATASETS, Archive, Dataset, Part
from ssd_tfrecord.datasets.download.part_file import part_path
from ssd_tfrecord.datasets.download.receipt import Receipt
from ssd_tfrecord.datasets.download.unpack import Count, unpack
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.records.processes import lock

# Below the output folder: archives that are downloaded, and those of --keep_archives.
ARCHIVES = "archives"


def run(config: DownloadConfig, datasets: Mapping[str, Dataset] = DATASETS) -> None:
    """Downloads a data set, and prints how to convert it.

    Args:
        config: what to download, and where to.
        datasets: what there is, by the values of --dataset.

    Raises:
        InputError: it cannot be downloaded or unpacked; the same command goes on where it stopped.
    """
    dataset = datasets[config.dataset]
    parts = _chosen(dataset, config)
    root = pathlib.Path(config.output_dir)
    try:
        if config.dry_run:
            print(_plan(config, parts, root))
            return
        root.mkdir(parents=True, exist_ok=True)
        with lock.alone_in(root, "download"):
            _download(config, parts, root)
    except OSError as error:
        raise InputError(
            f"{error.filename or root}: cannot be read or written: {error.strerror or error}; the "
            "same command goes on where this one stopped"
        ) from None
    names = {part.name for part in parts}
    for needed, command in dataset.conversions:
        if names.issuperset(needed):
            print(f"next: {command.format(root=shlex.quote(str(root)))}")


def _chosen(dataset: Dataset, config: DownloadConfig) -> list[Part]:
    names = [part.name for part in dataset.parts]
    for name in config.parts:
        if name not in names:
            raise InputError(
                f"--parts={name}: {config.dataset} has no such part; must be of {', '.join(names)}"
            )
    return [part for part in dataset.parts if part.name in (config.parts or names)]


def _download(config: DownloadConfig, parts: Sequence[Part], root: pathlib.Path) -> None:
    receipt = Receipt(root)
    wanted = []
    for part in parts:
        if receipt.holds(part):
            print(f"{root / part.folder}: already there")
        else:
            wanted.append(part)
    _check_space(config, wanted, root)
    for part in wanted:
        try:
            count = _deliver(config, part, root, receipt)
        except KeyboardInterrupt:
            kept = size_text(sum(_present(item, root / ARCHIVES) for item in part.archives))
            say(f"\nstopped: {kept} are kept in {root / ARCHIVES}; the same command resumes")
            raise
        print(f"{root / part.folder}: {count.files} files, {size_text(count.num_bytes)}")


def _deliver(config: DownloadConfig, part: Part, root: pathlib.Path, receipt: Receipt) -> Count:
    """Downloads and unpacks ``part``; its folder has its name once it is complete."""
    folder = root / ARCHIVES
    folder.mkdir(exist_ok=True)
    patience = http_transfer.Patience(config.timeout, config.retries)
    paths = [
        http_transfer.fetch(archive, _urls(archive, config), folder, patience)
        for archive in part.archives
    ]
    final = root / part.folder
    partial = final.with_name(f".{final.name}.partial")
    count = _unpack(part, paths, partial)
    # Before the folder has its name: without this it would be somebody else's.
    receipt.add(part, count)
    os.rename(partial, final)
    if not config.keep_archives:
        for path in paths:
            path.unlink()
        with contextlib.suppress(OSError):  # other archives are there
            folder.rmdir()
    return count


def _unpack(part: Part, paths: Sequence[pathlib.Path], partial: pathlib.Path) -> Count:
    """Unpacks the archives of ``part`` into the new folder ``partial``."""
    # A killed run may have left it.
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    total = sum(archive.num_bytes for archive in part.archives)
    counts = []
    try:
        with byte_bar(f"unpacking {part.name}", total) as bar:
            for archive, path in zip(part.archives, paths):
                counts.append(unpack(path, archive, partial, bar.update))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Count(sum(item.files for item in counts), sum(item.num_bytes for item in counts))


def _urls(archive: Archive, config: DownloadConfig) -> tuple[str, ...]:
    mirrors = tuple(f"{base.rstrip('/')}/{archive.name}" for base in config.mirror)
    return mirrors or archive.urls


def _present(archive: Archive, folder: pathlib.Path) -> int:
    """Bytes of ``archive`` that were already downloaded."""
    for path in (folder / archive.name, part_path(folder / archive.name)):
        with contextlib.suppress(OSError):
            return min(path.stat().st_size, archive.num_bytes)
    return 0


def _space_needed(config: DownloadConfig, parts: Sequence[Part], root: pathlib.Path) -> int:
    """The most bytes that the parts take at a time, beyond what is already there."""
    peak = held = 0
    for part in parts:
        present = sum(_present(item, root / ARCHIVES) for item in part.archives)
        archives = sum(item.num_bytes for item in part.archives)
        unpacked = sum(item.disk_bytes for item in part.archives)
        peak = max(peak, held + archives - present + unpacked)
        held += unpacked - present + (archives if config.keep_archives else 0)
    return peak


def _space_free(root: pathlib.Path) -> tuple[int, pathlib.Path]:
    """Bytes that are free where ``root`` is or will be, and the nearest folder that exists."""
    place = next(path for path in (root, *root.absolute().parents) if path.exists())
    return shutil.disk_usage(place).free, place


def _check_space(config: DownloadConfig, parts: Sequence[Part], root: pathlib.Path) -> None:
    needed = _space_needed(config, parts, root)
    free, place = _space_free(root)
    if needed > free:
        raise InputError(
            f"--output_dir={config.output_dir}: {config.dataset} needs up to "
            f"{size_text(needed)} (archives and files), but {place} has {size_text(free)} free; "
            "free some, choose another --output_dir, or fewer --parts"
        )


def _plan(config: DownloadConfig, parts: Sequence[Part], root: pathlib.Path) -> str:
    """What would be downloaded, from where, and whether there is room for it."""
    receipt, lines, wanted = Receipt(root), [], []
    for part in parts:
        if receipt.holds(part):
            lines.append(f"{root / part.folder}: already there")
            continue
        wanted.append(part)
        lines.append(f"{root / part.folder}:")
        for archive in part.archives:
            lines.append(f"  {archive.name}  {archive.num_bytes} bytes  sha256 {archive.sha256}")
            lines += [f"    {url}" for url in _urls(archive, config)]
    needed = size_text(_space_needed(config, wanted, root))
    free, place = _space_free(root)
    lines.append(f"needs up to {needed}; {size_text(free)} are free in {place}")
    return "\n".join(lines)
