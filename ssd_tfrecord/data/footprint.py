"""What a cache of record sets takes, known from their manifests before anything is read."""

import os
import shutil

import psutil

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import ReadOptions

# Of what is free, the share that a cache may take where no limit is given.
FREE_SHARE = 0.8


def cache_bytes(manifests, cache: str) -> int:
    """Bytes that ``--cache=records`` or ``decoded`` takes; 0 for ``none``."""
    if cache == "none":
        return 0
    if cache == "records":
        return sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    return sum(3 * manifest.num_pixels for manifest in manifests)


def check_cache(manifests, options: ReadOptions) -> str:
    """One line that says what the cache takes; empty without one.

    Raises:
        InputError where that is more than ``--cache_limit_mb``, or than ``FREE_SHARE`` of the
        memory or disk that is free.
    """
    if options.cache == "none":
        return ""
    needed = cache_bytes(manifests, options.cache) / 1e6
    place = f"in {options.cache_dir}" if options.cache_dir else "of memory"
    limit, why = float(options.cache_limit_mb), "--cache_limit_mb"
    if not limit:
        free = (
            _free_disk(options.cache_dir)
            if options.cache_dir
            else psutil.virtual_memory().available
        )
        limit, why = FREE_SHARE * free / 1e6, f"{FREE_SHARE:.0%} of what is free"
    if needed > limit:
        raise InputError(
            f"--cache={options.cache}: takes {needed:,.0f} MB {place}: must be at most "
            f"{limit:,.0f} ({why}); choose a smaller --cache, --cache_dir, or raise "
            "--cache_limit_mb"
        )
    return f"Cache: {options.cache}, {needed:,.0f} MB {place} (at most {limit:,.0f})"


def _free_disk(folder):
    while not os.path.isdir(folder):
        folder = os.path.dirname(os.path.abspath(folder))
    return shutil.disk_usage(folder).free
