"""Measures what conversion and the parts of training cost; --help lists the flags.

Example:
    python tools/benchmark.py --records=records/voc0712_trainval --json=figures.json
    python tools/benchmark.py --records=records/voc0712_trainval --compare=figures.json

Compare CPU milliseconds and ratios: images/s drift on a shared machine.
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("benchmark"))
