"""Pixels of a sample: decode only the window that is seen, resize once, uint8 out."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from ssd_tfrecord.pixels import resampling

# Decodes as Pillow and OpenCV do, to the bit, for 1 % more CPU time. TensorFlow's default is the
# fast inverse transform: on VOC2012 it is 1.3 levels off in the mean, and 22 at most.
_DCT = "INTEGER_ACCURATE"

# Of an image in a record: what the converters' --max_pixels can be at most.
MAX_PIXELS = 2**29 - 1


def render_batch(
    plan: Mapping[str, tf.Tensor],
    window_fn: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
    *,
    output_size: int,
) -> tf.Tensor:
    """The samples that ``framing.frame`` planned: uint8 [B, S, S, 3] RGB, not mirrored yet.

    Pixels outside the rectangle are 0: ``pixels.color`` fills them with the mean after distortion,
    and does the mirroring.

    Args:
        plan: ``placed`` of a batch, ``interpolation`` int32 [B] (indices into ``resampling.KINDS``)
            unless all is bilinear, and what ``window_fn`` needs.
        window_fn: dict of one sample -> the pixels of its window, uint8 [h, w, 3].
        output_size: side S of a sample in pixels.
    """
    plan = dict(plan)
    ymin, xmin, ymax, xmax = tf.unstack(plan.pop("placed"), axis=1)
    # Resizing to nothing is an error: an empty rectangle gets a pixel, which the mean replaces.
    height, width = tf.maximum(ymax - ymin, 1), tf.maximum(xmax - xmin, 1)
    bottom, right = output_size - ymin - height, output_size - xmin - width
    # As a matrix of bytes: tf.pad then takes 0.05 ms, and 0.28 with the channels as an axis.
    room = [tf.stack([ymin, bottom], axis=1), tf.stack([3 * xmin, 3 * right], axis=1)]
    plan |= {
        "shape": tf.stack([height, width], axis=1),
        "bytes": tf.stack([height, 3 * width], axis=1),
        "room": tf.stack(room, axis=1),
    }

    def render(sample: Mapping[str, tf.Tensor]) -> tf.Tensor:
        pixels, shape = window_fn(sample), sample["shape"]
        if "interpolation" in sample:
            pixels = resampling.resample_as(pixels, shape, sample["interpolation"])
        else:
            pixels = resampling.resample(pixels, shape)
        rows = tf.pad(tf.reshape(pixels, sample["bytes"]), sample["room"])
        return tf.reshape(rows, [output_size, output_size, 3])

    # One after another: whole batches are what runs in parallel. All that can be computed for the
    # batch at once is, above and in ``RecordSource.cuts``: here, an operation costs 1 to 2 µs.
    return tf.map_fn(
        render,
        plan,
        fn_output_signature=tf.TensorSpec([output_size, output_size, 3], tf.uint8),
        parallel_iterations=1,
    )


def render_whole(encoded: tf.Tensor, size: tf.Tensor, *, output_size: int) -> tf.Tensor:
    """The whole image warped to uint8 [output_size, output_size, 3], as evaluation sees it.

    ``encoded`` and ``size`` are those of ``decode_whole``.
    """
    pixels = resampling.resample(decode_whole(encoded, size), [output_size, output_size])
    return tf.ensure_shape(pixels, [output_size, output_size, 3])


def checked(encoded: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """``encoded``, a JPEG of ``size``; its header alone is read.

    A file of a hundred bytes can state a size of gigabytes, and a PNG, which TensorFlow's decoder
    of JPEGs also accepts, can be as large.

    Args:
        encoded: scalar string, of a record.
        size: int32 [2], height and width that the record states.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, if it is something else, or has more than
            ``MAX_PIXELS``.
    """
    return of_size(encoded, limited(size))


def limited(sizes: tf.Tensor) -> tf.Tensor:
    """``sizes`` int32 [..., 2], heights and widths that records state.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, if one has more than ``MAX_PIXELS``.
    """
    num_pixels = tf.reduce_prod(tf.cast(sizes, tf.int64), axis=-1)
    few = tf.reduce_all(num_pixels <= MAX_PIXELS)
    with tf.control_dependencies([tf.debugging.Assert(few, ["an image has too many pixels"])]):
        return tf.identity(sizes)


def of_size(encoded: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """``encoded`` as in ``checked``, of a ``size`` that is ``limited``; with the same error."""
    is_so = tf.reduce_all(tf.io.extract_jpeg_shape(encoded)[:2] == size)
    what = "the image must have the height and width that its record states"
    # Not assert_equal: its message needs several operations more.
    with tf.control_dependencies([tf.debugging.Assert(is_so, [what])]):
        return tf.identity(encoded)


def decode_whole(encoded: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The pixels of a JPEG: uint8 [height, width, 3].

    ``encoded``, ``size`` and the error are those of ``checked``.
    """
    return tf.io.decode_jpeg(checked(encoded, size), channels=3, dct_method=_DCT)


def decode_window(encoded: tf.Tensor, window: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The pixels of ``window``, equal to the bit to those of the full decode.

    Args:
        encoded: scalar string, a JPEG.
        window: int32 [4] as y, x, height, width.
        size: int32 [2], height and width of the whole image.

    Returns:
        uint8 [height, width, 3].
    """
    return decode_inner(encoded, *widened(window, size))


def widened(windows: tf.Tensor, sizes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Windows a pixel wider left and right, which is cut off again: ``decode_inner`` takes both.

    Chroma upsampling reads the neighbours.

    Args:
        windows: int32 [..., 4] as y, x, height, width.
        sizes: int32 [..., 2], heights and widths of the whole images.

    Returns:
        The wide windows, int32 [..., 4]; and begin and shape of the windows in their pixels, int32
        [..., 2, 3].
    """
    y, x, height, width = tf.unstack(windows, axis=-1)
    left, right = tf.minimum(x, 1), tf.minimum(sizes[..., 1] - x - width, 1)
    wide = tf.stack([y, x - left, height, width + left + right], axis=-1)
    none, three = tf.zeros_like(x), tf.ones_like(x) * 3
    corner, shape = tf.stack([none, left, none], axis=-1), tf.stack([height, width, three], axis=-1)
    return wide, tf.stack([corner, shape], axis=-2)


def decode_inner(encoded: tf.Tensor, wide: tf.Tensor, inner: tf.Tensor) -> tf.Tensor:
    """The pixels of a window of the JPEG ``encoded``, ``widened`` to ``wide`` and ``inner``."""
    pixels = tf.io.decode_and_crop_jpeg(encoded, wide, channels=3, dct_method=_DCT)
    return tf.slice(pixels, inner[0], inner[1])


def decode_reduced(encoded: tf.Tensor, window: tf.Tensor, reduction: tf.Tensor) -> tf.Tensor:
    """The pixels of ``window`` at 1/2, 1/4 or 1/8 of the size.

    Args:
        encoded: scalar string, a JPEG.
        window: int32 [4] as y, x, height, width, all multiples of ``reduction``.
        reduction: int32 scalar n: 2, 4 or 8.

    Returns:
        uint8 [height / n, width / n, 3].
    """

    def decode(ratio: int) -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(
            encoded, window // ratio, channels=3, ratio=ratio, dct_method=_DCT
        )

    # The ratio is an attribute of the operation, not an input: each needs a branch of its own.
    branches = [(tf.equal(reduction, ratio), lambda ratio=ratio: decode(ratio)) for ratio in (2, 4)]
    return tf.case(branches, default=lambda: decode(8))
