"""Evaluates a trained model on a record set; --help lists the flags.

Example:
    python -m ssd_tfrecord.evaluate --run_dir=runs/a --records=records/voc07_test
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("evaluate"))
