"""Converts a folder of any layout to TFRecords, split by split; --help lists the flags.

Example:
    python tools/create_tfrecords.py --input=export --output_dir=records
    python tools/create_tfrecords.py --input=images_and_xml --split=0.8,0.1,0.1 --output_dir=records
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("convert"))
