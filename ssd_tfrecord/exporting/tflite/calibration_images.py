"""The images by which int8 chooses the range of each tensor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.config import ExportConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.check_set import read_check_images, spread
from ssd_tfrecord.exporting.exportable import Exportable
from ssd_tfrecord.exporting.tflite.tflite_network import INPUT_MEAN, INPUT_STD
from ssd_tfrecord.records.manifest import Manifest

# Fewer give poor ranges.
_ENOUGH = 100


@dataclass(frozen=True)
class Calibration:
    """Some images of a record set, as evaluation sees them; read whenever they are gone through."""

    model: Exportable
    manifest: Manifest
    indices: list[int]

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """Yields the network's input, [float32 [1, S, S, 3]] in [-1, 1]."""
        for image in read_check_images(self.manifest, self.indices, self.model.detector):
            levels = image.prepared.pixels.astype(np.float32)
            # Levels from 0 to 255 must be the input's range, whatever the images hold: only then is
            # its quantised form the uint8 level itself. Two pixels of a corner suffice.
            levels[0, 0], levels[0, 1] = 0, 255
            yield [(levels[np.newaxis] - INPUT_MEAN) / INPUT_STD]

    @property
    def note(self) -> str:
        """A line for the user."""
        count = f"calibrated on {len(self.indices):,} images of {self.manifest.directory}"
        if len(self.indices) >= _ENOUGH:
            return count
        return f"{count}, which are all; at least {_ENOUGH} would give better ranges"


def load_calibration(model: Exportable, config: ExportConfig) -> Calibration:
    """The images that the flags name; of a set with fewer, all.

    The classes of the set do not matter: its boxes are not looked at.

    Raises:
        InputError: the record set cannot be read, or has no images.
    """
    folder = config.calibration_records or model.config.train_records[0]
    try:
        manifest = Manifest.load(folder)
    except InputError as error:
        flag = "--calibration_records" if config.calibration_records else "--quantize=int8"
        raise InputError(
            f"{flag}: {error}; --calibration_records must be a record set whose images int8 can be "
            "calibrated on"
        ) from None
    if not manifest.num_records:
        raise InputError(f"--calibration_records={folder}: the set has no images")
    return Calibration(model, manifest, spread(manifest.num_records, config.calibration_images))
