"""Makes a model of a folder of annotated images; --help lists the flags.

Example:
    python -m ssd_tfrecord.fit my/export --output_dir=mymodel
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("fit"))
