"""Runs a SavedModel as ``tf.saved_model`` loads it."""

import pathlib

import numpy as np
import tensorflow as tf

from ssd_tfrecord.detection.detections import Detections, unpad
from ssd_tfrecord.exporting.check_set import CheckImage
from ssd_tfrecord.exporting.exported_file import unusable

# The loader checks nothing first: what it stumbles over depends on the damage.
_REFUSALS = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RuntimeError, AssertionError, MemoryError, tf.errors.OpError),
)


class SavedModelRuntime:
    """A SavedModel, loaded; one image at a time goes in.

    Args:
        path: of its folder.
        signature: which of its signatures is run: ``encoded`` takes the file of an image,
            ``image_tensor`` its resized pixels.

    Raises:
        InputError: TensorFlow cannot load it, or it has no such signature.
    """

    def __init__(self, path: pathlib.Path, signature: str = "encoded") -> None:
        self.title = f"tf.saved_model, TensorFlow {tf.__version__}"
        self._is_encoded = signature == "encoded"
        # The functions do not keep alive the variables that they use: what was loaded does.
        try:
            self._loaded = tf.saved_model.load(str(path))
            self._detect = self._loaded.signatures[signature]
        except _REFUSALS as error:
            raise unusable(path, self.title, error) from None

    def detect(self, image: CheckImage) -> Detections:
        """The detections of one image."""
        outputs = {name: value[0].numpy() for name, value in self._outputs(image).items()}
        prepared = image.prepared
        padded = {
            "boxes": outputs["detection_boxes"],
            "scores": outputs["detection_scores"],
            "labels": outputs["detection_classes"].astype(np.int32),
        }
        return unpad(prepared.source_id, prepared.height, prepared.width, padded)

    def run(self, image: CheckImage) -> None:
        """Runs the model on one image."""
        self._outputs(image)

    def _outputs(self, image: CheckImage) -> dict[str, tf.Tensor]:
        if self._is_encoded:
            found = self._detect(input_tensor=tf.constant([image.encoded]))
        else:
            pixels = image.prepared.pixels[np.newaxis]
            found = self._detect(input_tensor=tf.constant(pixels))
        return dict(found)
