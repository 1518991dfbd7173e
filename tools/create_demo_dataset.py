"""Draws a demo data set in the layout of Pascal VOC, to try everything within minutes.

Example:
    python tools/create_demo_dataset.py --output_dir=demo/VOCdevkit
    python tools/create_voc_tfrecords.py --voc_root=demo/VOCdevkit --sets=demo_train \
        --classes=auto --output_dir=demo/records/train
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("demo-data"))
