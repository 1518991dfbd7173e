import subprocess
import sys

import pytest

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.exporting.onnx import extra_packages


def test_missing_package_is_one_line_that_names_the_extra():
    with pytest.raises(InputError) as error:
        extra_packages.require(("onnxruntime", "tf2onyx"))
    assert str(error.value) == (
        "--format=onnx: not installed: tf2onyx; pip install -e '.[onnx]' brings what it needs"
    )


def test_check_imports_neither_tensorflow_nor_the_packages():
    script = (
        "import sys; from ssd_tfrecord.exporting.onnx import extra_packages as e; e.require(); "
        "assert not {'tensorflow', 'onnx', 'onnxruntime', 'tf2onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
