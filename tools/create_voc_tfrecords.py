"""Converts Pascal VOC XML to TFRecords and a manifest; --help lists the flags."""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("convert-voc"))
