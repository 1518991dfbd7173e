"""(run seed, epoch, position) -> record: the one order that training and resuming share.

Epochs are joined: position p is place p mod N of epoch p // N, N being the number of records. Of H
hosts, host h takes the positions that are h modulo H; so any number of hosts takes the same
samples, none twice.
"""

from dataclasses import dataclass

import tensorflow as tf

_FOREVER = 2**62

# Parts of an epoch, each drawn by itself: what the tf.data service hands out to its workers. Each
# sorts the epoch anew, which is 64 sorts of 118,287 in an epoch of as many pictures: 5 µs each.
_CHUNKS = 64


@dataclass(frozen=True)
class Host:
    """This machine's place among those that read the same run."""

    index: int = 0
    count: int = 1


def shuffled_indices(num_records, *, seed, start, host=Host()):
    """Endless (epoch, record index) of the positions from ``start`` on that are ``host``'s.

    Every epoch is an order of its own of all records, a function of (seed, epoch) alone: to begin
    in its middle costs a sort, and nothing is read that is not used.

    Args:
        num_records: records N of an epoch.
        seed: run seed.
        start: first position of all hosts, counted over all epochs.
        host: whose positions.

    Returns:
        A dataset of int64 scalars.
    """
    chunk_size = -(-num_records // _CHUNKS)
    num_chunks = -(-num_records // chunk_size)

    def chunk_indices(chunk):
        epoch, chunk = chunk // num_chunks, chunk % num_chunks
        # Whole numbers of 64 bits: floats would be equal too often, and keep the set's order then.
        keys = tf.random.stateless_uniform(
            [num_records], [seed, epoch], None, None, tf.int64, alg="philox"
        )
        order = tf.argsort(keys, stable=True)
        begin, end = chunk * chunk_size, tf.minimum((chunk + 1) * chunk_size, num_records)
        # The first of the chunk's places that is not before ``start`` and is this host's.
        first = tf.maximum(begin, start - epoch * num_records)
        first += (host.index - first - epoch * num_records) % host.count
        mine = tf.cast(order[first : end : host.count], tf.int64)
        return tf.data.Dataset.from_tensor_slices((tf.fill(tf.shape(mine), epoch), mine))

    epoch, place = divmod(start, num_records)
    chunks = tf.data.Dataset.range(epoch * num_chunks + place // chunk_size, _FOREVER)
    return chunks.flat_map(chunk_indices)


def records_in_order(manifests):
    """Every record once: (record index, serialized example), in manifest order."""
    paths, offsets = _shards(manifests)
    shards = tf.data.Dataset.from_tensor_slices((paths, offsets))
    return shards.flat_map(_read_shard)


def streamed_records(manifests, *, seed, start, options, host=Host()):
    """As ``shuffled_indices``, with the record itself, but shards are read from end to end.

    Shards are read in a drawn order, several in turn, and their serialized records pass a shuffle
    buffer of ``shuffle_buffer_mb``; what is skipped is read but not parsed or decoded.

    Args:
        manifests: record sets; record indices run on from one to the next.
        seed: run seed.
        start: first position of all hosts, counted over all epochs.
        options: ``ReadOptions``.
        host: whose positions.

    Returns:
        A dataset of (epoch, record index, serialized example).
    """
    paths, offsets = _shards(manifests)
    num_records = sum(manifest.num_records for manifest in manifests)
    buffer = buffered_records(manifests, options)
    first_epoch, skipped = divmod(start, num_records)

    def epoch_records(epoch):
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
        shuffle_seed = tf.random.stateless_uniform(
            [], [seed, epoch], maxval=2**31, dtype=tf.int64, alg="philox"
        )
        records = records.shuffle(buffer, shuffle_seed, reshuffle_each_iteration=False)
        records = records.skip(tf.cast(epoch == first_epoch, tf.int64) * skipped)
        return records.map(lambda index, serialized: (epoch, index, serialized))

    records = tf.data.Dataset.range(first_epoch, _FOREVER).flat_map(epoch_records)
    return records.shard(host.count, (host.index - start) % host.count)


def buffered_records(manifests, options):
    """Records that the shuffle buffer holds, from their mean size in bytes."""
    num_records = sum(manifest.num_records for manifest in manifests)
    num_bytes = sum(shard.bytes for manifest in manifests for shard in manifest.shards)
    fitting = options.shuffle_buffer_mb * 1_000_000 * num_records // max(num_bytes, 1)
    return max(1, min(num_records, fitting))


def _shards(manifests):
    """Paths [F] of all shards and the index [F] of each one's first record."""
    paths = [path for manifest in manifests for path in manifest.shard_paths]
    counts = [count for manifest in manifests for count in manifest.shard_records]
    return tf.constant(paths), tf.cumsum(tf.constant(counts, tf.int64), exclusive=True)


def _read_shard(path, offset):
    records = tf.data.TFRecordDataset(path, buffer_size=1 << 20)
    return records.enumerate(offset)
