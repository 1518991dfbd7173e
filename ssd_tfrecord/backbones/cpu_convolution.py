"""A 3x3 convolution whose training is written as matrix products on a CPU.

Legend: B images, H rows, W columns, C channels in, D channels out, N padded pixels of all images.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ssd_tfrecord.keras import keras

# With less, as of an RGB image, the product is too thin to pay.
_FEWEST_CHANNELS = 64


class Conv3x3(keras.layers.Conv2D):
    """Keras's Conv2D of 3x3 kernels, stride 1 and "same" padding, trained faster on a CPU.

    Weights, their names and, up to rounding, outputs and gradients are those of Conv2D, but for the
    biases' in bfloat16 (``_half_biased``). Where TensorFlow sees a GPU, and in inference, from
    which exports are made, it is Conv2D itself.

    What TensorFlow's own gradients cost instead (CPU ms of VGG-16's layers, batch of 2): fc6 1500
    without oneDNN and 520 with it, here 330 and 290, for they sort the pixels of a dilated
    convolution into 36 maps and back; the filters of block1_conv2 and block2_conv2 with oneDNN 900
    and 960 on a CPU without AVX-512, here 170 and 160. With AVX-512 these are within 25 %.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The convolution of ``inputs`` [B, H, W, C], with bias and activation."""
        # Decided when a graph is traced.
        if not training or tf.config.list_logical_devices("GPU"):
            return super().call(inputs)
        kernel = tf.convert_to_tensor(self.kernel)
        if self.dilation_rate[0] > 1:
            outputs = _by_slices(inputs, kernel, self.dilation_rate[0])
        elif inputs.shape[-1] >= _FEWEST_CHANNELS:
            outputs = _with_flat_gradient(inputs, kernel)
        else:
            outputs = tf.nn.conv2d(inputs, kernel, 1, "SAME")
        bias = tf.convert_to_tensor(self.bias)
        add = tf.nn.bias_add if bias.dtype == tf.float32 else _half_biased
        return self.activation(add(outputs, bias))


@tf.custom_gradient
def _half_biased(
    outputs: tf.Tensor, bias_D: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """``tf.nn.bias_add``, whose gradient is summed in float32.

    TensorFlow's sums bfloat16 in bfloat16 on a CPU: over the 360,000 pixels of four images at
    block1_conv2, a third of the gradient is left.
    """

    def gradient(gradients: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        total_D = tf.reduce_sum(tf.cast(gradients, tf.float32), [0, 1, 2])
        return gradients, tf.cast(total_D, bias_D.dtype)

    return tf.nn.bias_add(outputs, bias_D), gradient


def _by_slices(inputs: tf.Tensor, kernel_33CD: tf.Tensor, dilation: int) -> tf.Tensor:
    """The dilated convolution as a 1x1 convolution of the nine shifted maps."""
    height, width, channels = inputs.shape[1:]
    margins = [[0, 0], [dilation, dilation], [dilation, dilation], [0, 0]]
    padded = tf.pad(inputs, margins)
    shifts = range(0, 3 * dilation, dilation)
    maps = [padded[:, y : y + height, x : x + width] for y in shifts for x in shifts]
    kernel = tf.reshape(kernel_33CD, [1, 1, 9 * channels, kernel_33CD.shape[-1]])
    return tf.nn.conv2d(tf.concat(maps, axis=-1), kernel, 1, "VALID")


@tf.custom_gradient
def _with_flat_gradient(
    inputs: tf.Tensor, kernel_33CD: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]]:
    """The library's convolution and input gradient, with the filter gradient of this file."""

    def gradient(outputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(inputs)
        return (
            tf.nn.conv2d_transpose(outputs, kernel_33CD, shape, 1, "SAME"),
            _filter_gradient(inputs, outputs),
        )

    return tf.nn.conv2d(inputs, kernel_33CD, 1, "SAME"), gradient


def _filter_gradient(inputs: tf.Tensor, gradients: tf.Tensor) -> tf.Tensor:
    """The gradient of the kernel [3, 3, C, D] as three products over all pixels.

    In maps with a margin of zeros, one behind the other, a shift by rows and columns is a shift by
    a number of pixels. A slice of the first axis is not copied; the three columns are.

    Args:
        inputs: [B, H, W, C].
        gradients: of the outputs, [B, H, W, D].
    """
    row = inputs.shape[2] + 2
    pixels_NC, gradients_ND = _in_a_row(inputs), _in_a_row(gradients)
    # From the first pixel within the margins to the last one.
    count = tf.shape(pixels_NC)[0] - 2 * (row + 1)
    gradients_ND = gradients_ND[row + 1 : row + 1 + count]
    columns = [pixels_NC[shift : shift + count + 2 * row] for shift in range(3)]
    columns_N3C = tf.concat(columns, axis=1)
    products = [
        tf.matmul(columns_N3C[shift : shift + count], gradients_ND, transpose_a=True)
        for shift in (0, row, 2 * row)
    ]
    shape = [3, 3, inputs.shape[-1], gradients.shape[-1]]
    return tf.reshape(tf.stack(products), shape)


def _in_a_row(maps: tf.Tensor) -> tf.Tensor:
    """[B, H, W, C] with a margin of one pixel on each side, as [N, C]."""
    return tf.reshape(tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]]), [-1, maps.shape[-1]])
