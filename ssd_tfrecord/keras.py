"""The Keras 2 of the installed stack: ``from ssd_tfrecord.keras import keras``.

TensorFlow 2.15 includes Keras 2; from 2.16 on ``tf.keras`` is Keras 3, and Keras 2 continues as the
package ``tf_keras``. The version of TensorFlow decides, not which packages can be imported: with
TensorFlow 2.15, an installed tf_keras would break Addons when loss scaling is on.
"""

import tensorflow as tf

if tuple(int(part) for part in tf.__version__.split(".")[:2]) < (2, 16):
    keras = tf.keras
else:
    import tf_keras

    keras = tf_keras

__all__ = ["keras"]
