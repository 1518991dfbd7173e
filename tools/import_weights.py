"""Converts a published SSD to a run folder, and evaluates it.

Example:
    python tools/import_weights.py --input=VGG_VOC0712_SSD_300x300_iter_120000.caffemodel
        --output=runs/caffe300 --records=records/voc07_test
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("import-weights"))
