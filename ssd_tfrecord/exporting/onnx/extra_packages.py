"""The packages of the extra ``onnx``. Free of TensorFlow, so that a lack of them is seen early."""

import importlib.util
from collections.abc import Sequence

from ssd_tfrecord.errors import InputError

TO_EXPORT = ("tf2onnx", "onnx", "onnxruntime")
TO_RUN = ("onnxruntime",)


def require(packages: Sequence[str] = TO_EXPORT) -> None:
    """Checks that packages are installed, without importing them.

    Args:
        packages: names to import.

    Raises:
        InputError: one is not installed.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format=onnx: not installed: {', '.join(missing)}; "
            "pip install -e '.[onnx]' brings what it needs"
        )
