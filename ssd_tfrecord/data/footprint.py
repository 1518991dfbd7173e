"""The space that a cache of record sets needs, from their manifests, before anything is read."""

import os
import shutil
from collections.abc import Sequence

from ssd_tfrecord.data.free_memory import free_memory
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest

# Share of the free memory or disk that a cache may use where no limit is given.
FREE_SHARE = 0.8


def cache_bytes(manifests: Sequence[Manifest], cache: str) -> int:
    """Bytes that ``--cache=records`` or ``decoded`` needs; 0 for ``none``."""
    if cache == "none":
        return 0
    if cache == "records":
        return sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    # Three channels of one byte each.
    return sum(3 * manifest.num_pixels for manifest in manifests)


def check_cache(manifests: Sequence[Manifest], options: ReadOptions) -> str:
    """One line that says how much space the cache needs; empty without a cache.

    Raises:
        InputError: the cache needs more than ``--cache_limit_mb``, or without that more than
            ``FREE_SHARE`` of the free memory or disk.
    """
    if options.cache == "none":
        return ""
    needed = cache_bytes(manifests, options.cache) / 1e6
    place = f"in {options.cache_dir}" if options.cache_dir else "of memory"
    limit, why = float(options.cache_limit_mb), "--cache_limit_mb"
    if not limit:
        free, where = _free(options.cache_dir)
        limit, why = FREE_SHARE * free / 1e6, f"{FREE_SHARE:.0%} of what is free {where}"
    if needed > limit:
        raise InputError(
            f"--cache={options.cache}: needs {needed:,.0f} MB {place}, but must not exceed "
            f"{limit:,.0f} MB ({why}); choose another --cache or --cache_dir, or raise "
            "--cache_limit_mb"
        )
    return f"Cache: {options.cache}, {needed:,.0f} MB {place} (limit {limit:,.0f} MB)"


def _free(cache_dir: str) -> tuple[int, str]:
    if cache_dir:
        return _free_disk(cache_dir), "there"
    memory = free_memory()
    return memory.bytes, f"on {memory.of}"


def _free_disk(folder: str) -> int:
    # The folder may not exist yet: its nearest ancestor that does is on the same disk.
    while not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    return shutil.disk_usage(folder).free
