"""The notebook is clean, and its cells run as plain Python: VOC is prepared, SSD300 trained."""

import ast
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from ssd_tfrecord.runs.course import history_file

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOK = json.loads((ROOT / "configs/notebook.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
SETTINGS, *PROGRAM = ["".join(cell["source"]) for cell in CODE]

# After the notebook: what its last cell has drawn.
DRAWN = """
import sys
axes = plt.gca()
drawn = {
    "photograph": axes.images[0].get_size(),
    "boxes": [patch.get_bbox().extents.tolist() for patch in axes.patches],
    "texts": [text.get_text() for text in axes.texts],
    "scores": found.scores.tolist(),
    "fractions": found.boxes.tolist(),
}
pathlib.Path("drawn.json").write_text(json.dumps(drawn))
"""


def assigned(cell):
    """{name: value} of a cell that consists of assignments."""
    statements = ast.parse(cell).body
    return {item.targets[0].id: ast.literal_eval(item.value) for item in statements}


def test_it_is_nbformat_4_5_without_outputs():
    assert (NOTEBOOK["nbformat"], NOTEBOOK["nbformat_minor"]) == (4, 5)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert NOTEBOOK["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    names = [cell["id"] for cell in NOTEBOOK["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    for cell in NOTEBOOK["cells"]:
        more = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        shared = {"id": cell["id"], "cell_type": cell["cell_type"], "metadata": {}}
        assert cell == {**shared, **more, "source": cell["source"]}
        assert cell["cell_type"] in ("code", "markdown")
        # One string a line, each with its line break but the last, as notebooks are saved.
        assert cell["source"] == "".join(cell["source"]).splitlines(keepends=True)


def test_its_settings_are_the_owners_recipe():
    settings = assigned(SETTINGS)
    recipe = (ROOT / "configs" / settings["RECIPE"]).read_text(encoding="ascii").splitlines()
    for flag, name in (
        ("num_steps", "NUM_STEPS"),
        ("global_batch_size", "BATCH_SIZE"),
        ("backbone_weights", "BACKBONE_WEIGHTS"),
    ):
        assert f"--{flag}={settings[name]}" in recipe


@pytest.mark.parametrize("cell", PROGRAM, ids=[cell["id"] for cell in CODE[1:]])
def test_a_cell_is_plain_python(cell):
    compile(cell, "notebook.ipynb", "exec")


def test_its_cells_on_the_13_images_of_voc2007(real_data, tmp_path):
    """In a process of its own and an empty folder, trained and tested on the same images.

    Random weights and one image a step: with them 45 CPU s, most of which VGG-16 takes.
    """
    photo = real_data / "VOCdevkit/VOC2007/JPEGImages/000004.jpg"
    settings = {
        **{"DATA": str(real_data), "TRAIN_SETS": "2007_trainval", "TEST_SETS": "2007_trainval"},
        **{"BACKBONE_WEIGHTS": "none", "NUM_STEPS": 2, "BATCH_SIZE": 1},
        **{"OUTPUT": "out", "PHOTO": str(photo), "MIN_SCORE": 0.05},
    }
    assert settings.keys() == assigned(SETTINGS).keys() - {"RECIPE"}
    changes = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    done = subprocess.run(
        [sys.executable, "-c", "\n\n".join([SETTINGS, changes, *PROGRAM, DRAWN])],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    run_dir = tmp_path / "out/run"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "drawn.json"}

    flags = (run_dir / "flags.txt").read_text(encoding="utf-8").splitlines()
    assert {"--backbone=vgg16", "--input_size=300", "--lr_boundaries=60000"} <= set(flags)
    assert 0 < float(history_file.read(run_dir / "history.csv", 2).rows[2]["loss"]) < 100
    with Image.open(run_dir / "curves.png") as curves:
        assert min(curves.size) > 300

    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["step"], metrics["num_images"], metrics["num_objects"]) == (2, 13, 41)
    scored = {name: row["voc07"] for name, row in metrics["ap_per_class"].items()}
    present = [f"{name:>12} {score:.3f}" for name, score in scored.items() if score is not None]
    # Eleven of the twenty classes are in these images.
    assert len(present) == 11
    total = f"{'mAP':>12} {metrics['voc07_map']:.3f} after 2 steps"
    assert "\n".join([*present, total]) in done.stdout

    with Image.open(run_dir / "pictures/contact_sheet.jpg") as sheet:
        assert min(sheet.size) > 300
    drawn = json.loads((tmp_path / "drawn.json").read_text())
    with Image.open(photo) as image:
        width, height = image.size
    assert drawn["photograph"] == [height, width]
    shown = [score > 0.05 for score in drawn["scores"]]
    assert sum(shown) == len(drawn["boxes"]) == len(drawn["texts"]) > 0
    ymin, xmin, ymax, xmax = drawn["fractions"][shown.index(True)]
    corners = [xmin * width, ymin * height, xmax * width, ymax * height]
    assert drawn["boxes"][0] == pytest.approx(corners, abs=1e-3)
    assert re.fullmatch(rf"[a-z]+ {max(drawn['scores']):.2f}", drawn["texts"][0])
    # 400 MB of checkpoints, of which pytest would keep three.
    shutil.rmtree(tmp_path / "out")
