"""Runs a tf.data service, whose workers make training batches on machines without a GPU.

Example:
    python tools/data_service.py --role=dispatcher --port=5050
    python tools/data_service.py --role=worker --dispatcher=host:5050 --address=$(hostname)
    python -m ssd_tfrecord.train --data_service=grpc://host:5050 …
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("data-service"))
