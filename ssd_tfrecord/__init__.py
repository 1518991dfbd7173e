"""ssd_tfrecord: train SSD object detectors from TFRecords, as fast as the machine allows.

The way of one image: VOC XML or COCO JSON -> ``records`` -> ``data`` -> ``pixels`` and
``geometry`` on the device -> ``model`` -> ``training`` and ``evaluation``. Imports go downward
only; importing this package imports nothing else.
"""

__version__ = "0.1.0"
