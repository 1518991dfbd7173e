"""``python -m ssd_tfrecord PROGRAM --name=value …``, the same as the command ``ssd-tfrecord``."""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.main())
