"""Detects objects in image files, and draws them; --help lists the flags.

Example:
    python -m ssd_tfrecord.detect --run_dir=runs/a --images='photos/*.jpg' --output_dir=out
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("detect"))
