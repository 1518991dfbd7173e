"""A run whose files are damaged, or whose folder goes away, is resumed as if nothing had been.

Real processes; weights are compared bit for bit with those of a run that nobody has touched.
"""

import shutil

import pytest
import toy_training
from toy_checkpoints import damage
from toy_training import NUM_STEPS

LAST, BEFORE = NUM_STEPS, NUM_STEPS - 2
DATA = "data-00000-of-00001"


@pytest.fixture
def copy(unbroken_run, tmp_path):
    """A copy of the unbroken run, with checkpoints at its last three even steps."""
    return shutil.copytree(unbroken_run, tmp_path / "run")


def leave_what_kills_leave(folder):
    for name in (f"unfinished-ckpt-{LAST + 2}_temp", f"ckpt-{LAST + 2}_temp"):
        (folder / name).mkdir()
        (folder / name / f"part-00000-of-00001.{DATA}.tempstate1").write_bytes(b"x" * 99)
    for name in (
        *(f"unfinished-ckpt-{LAST + 2}.{DATA}", f"unfinished-ckpt-{LAST + 2}.index"),
        *(f"ckpt-{LAST + 2}.{DATA}", "checkpoint.tmp0a1b", "checkpoint.77.part"),
    ):
        (folder / name).write_bytes(b"x" * 99)


def assert_same_end(run_dir, whole):
    """The weights of the last step; and in the folder, nothing but checkpoints and their list."""
    toy_training.assert_same_weights(run_dir, whole)
    folder = run_dir / "checkpoints"
    left = [path.name for path in folder.iterdir() if not path.name.startswith("damaged-")]
    assert sorted(left) == sorted(path.name for path in (whole / "checkpoints").iterdir())


# How the newest checkpoint is damaged, and what the list contains.
CASES = {
    "data cut": b"\0" * 150,
    "index garbage": None,
    "data zeros": b'model_checkpoint_path: "ckpt-1',
    "data gone": b"",
    "index empty": b"\xff\xfe",
    "one bit": b'model_checkpoint_path: "ckpt-99"\n',
}


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(how, marks=pytest.mark.soak if number else ())
        for number, how in enumerate(CASES)
    ],
)
def test_damaged_newest_checkpoint_costs_its_steps(tiny_records, unbroken_run, copy, how):
    folder = copy / "checkpoints"
    damage(folder / f"ckpt-{LAST}", how)
    (folder / "checkpoint").unlink()
    if CASES[how] is not None:
        (folder / "checkpoint").write_bytes(CASES[how])
    leave_what_kills_leave(folder)
    said = toy_training.train(toy_training.command(tiny_records, copy))
    assert f"ckpt-{LAST} is damaged (" in said
    assert f"; kept as damaged-ckpt-{LAST}): going back to ckpt-{BEFORE}" in said
    assert f"resuming at step {BEFORE}" in said
    assert_same_end(copy, unbroken_run)


@pytest.mark.soak
def test_lost_list_alone_costs_nothing(tiny_records, unbroken_run, copy):
    (copy / "checkpoints/checkpoint").unlink()
    said = toy_training.train(toy_training.command(tiny_records, copy))
    assert f"resuming at step {LAST}" in said
    assert "damaged" not in said
    assert_same_end(copy, unbroken_run)


@pytest.mark.soak
def test_two_damaged_ones_cost_four_steps(tiny_records, unbroken_run, copy):
    for step in (LAST, BEFORE):
        damage(copy / f"checkpoints/ckpt-{step}", "data cut")
    said = toy_training.train(toy_training.command(tiny_records, copy))
    assert f"resuming at step {BEFORE - 2}" in said
    assert_same_end(copy, unbroken_run)


@pytest.mark.soak
def test_all_damaged_is_one_line_and_never_a_new_beginning(tiny_records, copy):
    folder = copy / "checkpoints"
    for step in (LAST, BEFORE, BEFORE - 2):
        damage(folder / f"ckpt-{step}", "index garbage")
    before = sorted(path.name for path in folder.iterdir())
    said = toy_training.train(toy_training.command(tiny_records, copy), code=2)
    assert f"error: {folder}: every checkpoint is damaged (ckpt-{LAST}: " in said
    assert "Traceback" not in said
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.soak
def test_run_folder_renamed_under_a_run(tiny_records, unbroken_run, tmp_path):
    run_dir, away = tmp_path / "run", tmp_path / "away"
    words = toy_training.command(tiny_records, run_dir)
    process = toy_training.started(words)
    toy_training.read_until(process, f"step 4/{NUM_STEPS}")
    run_dir.rename(away)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 7, said
    (rescued,) = tmp_path.glob("run-rescued-*")
    assert "error: " in said
    assert f"is saved in {rescued}" in said
    assert "Traceback" not in said
    # As the line says.
    shutil.rmtree(run_dir, ignore_errors=True)
    rescued.rename(run_dir)
    said = toy_training.train(words)
    assert f"resuming at step {rescued.name.rpartition('-')[2]}" in said
    toy_training.assert_same_weights(run_dir, unbroken_run)
