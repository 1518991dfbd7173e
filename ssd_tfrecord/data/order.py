"""(run seed, epoch, position) -> record: the one order that training and resuming share."""

import tensorflow as tf

_FOREVER = 2**62


def records_in_order(manifests):
    """Every record once: (record index, serialized example), in manifest order."""
    paths, offsets = _shards(manifests)
    shards = tf.data.Dataset.from_tensor_slices((paths, offsets))
    return shards.flat_map(_read_shard)


def shuffled_records(manifests, *, seed, start, options):
    """Endless epochs, joined: (epoch, record index, serialized example) from position ``start``.

    Each epoch holds every record once. Shards are read in a drawn order, several in turn, and
    their serialized records pass a shuffle buffer of ``shuffle_buffer_mb``; what is skipped is
    read but not parsed or decoded.

    Args:
        manifests: record sets; record indices run on from one to the next.
        seed: run seed.
        start: first position, counted over all epochs.
        options: ``ReadOptions``.
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

    epochs = tf.data.Dataset.range(first_epoch, _FOREVER)
    return epochs.flat_map(epoch_records)


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
