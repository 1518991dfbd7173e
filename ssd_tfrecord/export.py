"""Exports a trained model to SavedModel, TFLite, ONNX or torchvision; --help lists the flags.

Example:
    python -m ssd_tfrecord.export --run_dir=runs/a --format=saved_model,onnx --output_dir=exports/a
"""

import sys

from ssd_tfrecord import programs

if __name__ == "__main__":
    sys.exit(programs.run("export"))
