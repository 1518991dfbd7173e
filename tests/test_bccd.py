"""The recipe for small sets learns BCCD, as it did where it was measured."""

import os
import subprocess
import sys

import pytest
from toy_training import ROOT

from ssd_tfrecord.runs.course import history_file


@pytest.mark.soak
def test_bccd_is_learnt(real_data, real_weights, tmp_path):
    folders = {"SSD_TFRECORD_TEST_DATA": real_data, "SSD_TFRECORD_TEST_WEIGHTS": real_weights}
    words = [f"--output_dir={tmp_path}", "--arms=ours", "--seeds=0"]
    done = subprocess.run(
        [sys.executable, "tests/learning.py", *words],
        cwd=ROOT,
        env=os.environ | {name: str(path) for name, path in folders.items()},
        check=False,
    )
    assert done.returncode == 0
    rows = history_file.read(tmp_path / "bccd/ours-0/history.csv", 250).rows
    scores = [float(rows[step]["voc07_map"]) for step in (50, 100, 150, 200, 250)]
    # Measured: 0.678, 0.813, 0.827, 0.873, 0.872 (this seed); at the end 0.858 and 0.873 (others).
    assert scores[2] > 0.75
    assert scores[4] > 0.83
