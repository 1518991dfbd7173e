"""(run seed, epoch, position) -> record: the one order that training and resuming share.

Epochs follow each other without a gap: position p is place p mod N of epoch p // N, where N is the
number of records. Of H hosts, host h takes the positions that are h modulo H; so any number of
hosts takes the same samples, none twice.
"""

from collections.abc import Sequence

import tensorflow as tf

from ssd_tfrecord.data.host import Host
from ssd_tfrecord.options import ReadOptions
from ssd_tfrecord.records.manifest import Manifest

# The end of what is endless: ``range`` needs one.
_FOREVER = 2**62

# Parts of an epoch, each drawn by itself: what the tf.data service hands out to its workers. Each
# part sorts the whole epoch again: with 118,287 images, 64 sorts per epoch, 5 µs per image. To draw
# a part costs 0.1 ms at least, so it is not one or two records of a small set.
_CHUNKS = 64
_MIN_CHUNK = 32


def shuffled_indices(
    num_records: int, *, seed: int, start: int, host: Host = Host()
) -> tf.data.Dataset:
    """Endless (epoch, record index) of the positions from ``start`` on that are ``host``'s.

    Every epoch has its own order of all records, a function of (seed, epoch) alone: starting in its
    middle costs one sort, and nothing is read that is not used.

    Args:
        num_records: number N of records in an epoch.
        seed: run seed.
        start: first position of all hosts, counted over all epochs.
        host: whose positions.

    Returns:
        A dataset of pairs of int64 scalars.
    """
    # Both rounded up: a small set has fewer chunks, and the last one may be short.
    chunk_size = max(min(_MIN_CHUNK, num_records), -(-num_records // _CHUNKS))
    num_chunks = -(-num_records // chunk_size)

    def chunk_indices(chunk: tf.Tensor) -> tf.data.Dataset:
        epoch, chunk = chunk // num_chunks, chunk % num_chunks
        # 64-bit integers: floats would too often be equal, and equal keys keep the set's order.
        # Philox is named because the default algorithm depends on the device.
        keys = tf.random.stateless_uniform(
            [num_records], [seed, epoch], None, None, tf.int64, alg="philox"
        )
        order = tf.argsort(keys, stable=True)
        begin, end = chunk * chunk_size, tf.minimum((chunk + 1) * chunk_size, num_records)
        # The chunk's first place that is not before ``start``, then the first that is this host's.
        first = tf.maximum(begin, start - epoch * num_records)
        first += (host.index - first - epoch * num_records) % host.count
        mine = tf.cast(order[first : end : host.count], tf.int64)
        return tf.data.Dataset.from_tensor_slices((tf.fill(tf.shape(mine), epoch), mine))

    epoch, place = divmod(start, num_records)
    chunks = tf.data.Dataset.range(epoch * num_chunks + place // chunk_size, _FOREVER)
    return chunks.flat_map(chunk_indices)


def share(num_records: int, host: Host) -> range:
    """The record indices that ``host`` goes through where each record is met once: a stretch."""
    return range(
        num_records * host.index // host.count, num_records * (host.index + 1) // host.count
    )


def records_in_order(manifests: Sequence[Manifest], host: Host = Host()) -> tf.data.Dataset:
    """Every record of ``host``'s ``share`` once: (record index, serialized example).

    They come in manifest order; shards that hold none of them are not opened.
    """
    mine = share(sum(manifest.num_records for manifest in manifests), host)
    paths, offsets, counts = [], [], []
    begin = 0
    for manifest in manifests:
        for path, count in zip(manifest.shard_paths, manifest.shard_records):
            if max(begin, mine.start) < min(begin + count, mine.stop):
                paths.append(path)
                offsets.append(begin)
                counts.append(count)
            begin += count
    shards = tf.data.Dataset.from_tensor_slices(
        (
            tf.constant(paths, tf.string),
            tf.constant(offsets, tf.int64),
            tf.constant(counts, tf.int64),
        )
    )

    def read(path: tf.Tensor, offset: tf.Tensor, count: tf.Tensor) -> tf.data.Dataset:
        skipped = tf.maximum(mine.start - offset, 0)
        wanted = tf.minimum(offset + count, mine.stop) - offset - skipped
        records = _read_shard(path, offset)
        return records.skip(skipped).take(wanted) if host.count > 1 else records

    return shards.flat_map(read)


def streamed_records(
    manifests: Sequence[Manifest],
    *,
    seed: int,
    start: int,
    options: ReadOptions,
    host: Host = Host(),
) -> tf.data.Dataset:
    """As ``shuffled_indices``, with the record itself, but shards are read from start to end.

    Shards are read in random order, several alternately, and their serialized records pass through
    a shuffle buffer of ``shuffle_buffer_mb``; skipped records are read but not parsed or decoded.

    Args:
        manifests: record sets; record indices run on from one to the next.
        seed: run seed.
        start: first position of all hosts, counted over all epochs.
        options: of reading; ``shuffle_buffer_mb`` and ``interleaved_shards`` are used.
        host: whose positions.

    Returns:
        A dataset of (epoch, record index, serialized example).
    """
    paths, offsets = _shards(manifests)
    num_records = sum(manifest.num_records for manifest in manifests)
    buffer = buffered_records(manifests, options)
    first_epoch, skipped = divmod(start, num_records)

    def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
        keys = tf.random.stateless_uniform([len(paths)], [seed, epoch], alg="philox")
        order = tf.argsort(keys, stable=True)
        records = tf.data.Dataset.from_tensor_slices(
            (tf.gather(paths, order), tf.gather(offsets, order))
        )
        records = records.interleave(
            _read_shard,
            cycle_length=options.interleaved_shards,
            block_length=1,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        # The buffer's seed, too, is a function of (seed, epoch): a resume meets the same order.
        shuffle_seed = tf.random.stateless_uniform(
            [], [seed, epoch], maxval=2**31, dtype=tf.int64, alg="philox"
        )
        records = records.shuffle(buffer, shuffle_seed, reshuffle_each_iteration=False)
        records = records.skip(tf.cast(epoch == first_epoch, tf.int64) * skipped)
        return records.map(lambda index, serialized: (epoch, index, serialized))

    records = tf.data.Dataset.range(first_epoch, _FOREVER).flat_map(epoch_records)
    # Element 0 is position ``start``, so this host's first element is (host.index - start) mod H.
    return records.shard(host.count, (host.index - start) % host.count)


def buffered_records(manifests: Sequence[Manifest], options: ReadOptions) -> int:
    """Number of records that the shuffle buffer holds, from their mean size in bytes."""
    num_records = sum(manifest.num_records for manifest in manifests)
    num_bytes = sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    fitting = options.shuffle_buffer_mb * 1_000_000 * num_records // max(num_bytes, 1)
    return max(1, min(num_records, fitting))


def _shards(manifests: Sequence[Manifest]) -> tuple[tf.Tensor, tf.Tensor]:
    """Paths [F] of all shards and the index [F] of each one's first record."""
    paths = [path for manifest in manifests for path in manifest.shard_paths]
    counts = [count for manifest in manifests for count in manifest.shard_records]
    return tf.constant(paths), tf.cumsum(tf.constant(counts, tf.int64), exclusive=True)


def _read_shard(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
    records = tf.data.TFRecordDataset(path, buffer_size=1 << 20)
    return records.enumerate(offset)
