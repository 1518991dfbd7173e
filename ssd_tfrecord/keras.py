"""The Keras 2 of this stack: ``from ssd_tfrecord.keras import keras``.

TensorFlow 2.15 holds Keras 2 itself; from 2.16 on ``tf.keras`` is Keras 3, and Keras 2 goes on as
``tf_keras``. TensorFlow's version decides, never what can be imported: tf_keras beside TensorFlow
2.15 breaks Addons with loss scaling.
"""

import tensorflow as tf

if tuple(int(part) for part in tf.__version__.split(".")[:2]) < (2, 16):
    keras = tf.keras
else:
    import tf_keras as keras

__all__ = ["keras"]
