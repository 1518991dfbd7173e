"""Does training learn as much from the package's samples as from the original's? A command.

    SSD_TFRECORD_TEST_DATA=… SSD_TFRECORD_TEST_WEIGHTS=… \\
        python tests/learning.py --output_dir=learning [--set=bccd] [--seeds=0,1,2]

Trains every arm of ``learning_arms`` with every seed, one after the other, and prints their scores
and whether they differ by more than seeds do. Stopped and run again, it goes on where it was; runs
that are done are not made again. Exit code 1 if an arm differs.

``bccd``: MobileNetV2 from a person detector's weights, by configs/bccd.flags: 250 steps of 16, nine
runs of some 4 minutes on two cores. ``voc2012``: SSD300-VGG16 from ImageNet's, on 100 images, to be
run with one seed; --num_steps is as many as the time holds. A step of 8 takes 1.5 seconds on two
cores that multiply bfloat16, with -- --precision=mixed_bfloat16. With more steps, it goes on.
"""

import argparse
import contextlib
import math
import os
import pathlib
import signal
import statistics
import subprocess
import sys

from learning_arms import FLAGS

from ssd_tfrecord.records.manifest import FILE_NAME
from ssd_tfrecord.runs.course import history_file

ROOT = pathlib.Path(__file__).parents[1]
METRICS = ("voc07_map", "coco_ap")

# Of each set: the recipe, its start weights, what is other than in the recipe, and the converters'
# flags of what is trained on and evaluated.
SETS = {
    "bccd": (
        "bccd",
        "mobilenet_v2_person_notop.weights.h5",
        (),
        {
            name: (
                *("--annotations_dir={}/bccd/Annotations", "--images_dir={}/bccd/JPEGImages"),
                *(f"--image_set={{}}/bccd/ImageSets/Main/{name}.txt", "--classes=auto"),
            )
            for name in ("trainval", "test")
        },
    ),
    # The file has no classifier: while fc6, fc7 and the heads are random, their gradients spoil the
    # convolutions that were loaded, at any rate; frozen, they are learnt upon, and a step takes a
    # third. Evaluated on what is trained on: of 100 images nothing general is learnt in an evening.
    # A constant rate, so that more steps go on.
    "voc2012": (
        "ssd300_voc0712",
        "vgg16_imagenet_notop.h5",
        (
            *("--num_steps=720", "--global_batch_size=8", "--freeze=block[1-5]"),
            *("--lr_boundaries=", "--lr_values=", "--warmup_steps=20", "--gradient_clip_norm=10"),
            *("--eval_every=120", "--checkpoint_every=30", "--summary_every=10"),
            "--steps_per_loop=10",
        ),
        {"trainval": ("--voc_root={}/VOCdevkit", "--sets=2012_trainval")},
    ),
}
# Standard errors of the difference of two means: of three arms with three seeds each, chance makes
# a larger one in 1 of 40 cases (Student's t of 6 degrees of freedom).
ERRORS = 3


def of_environment(variable):
    """A folder that the environment names."""
    path = os.environ.get(variable, "")
    if not os.path.isdir(path):
        sys.exit(f"{variable}={path}: must be a folder; see README.md of the tests' data")
    return path


def run(words):
    """Runs a command of this project, and ends with its exit code unless that is 0."""
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT)
    # The trainer saves what it has: SIGTERM is handed on, Ctrl-C is sent to both by the terminal.
    handed_on = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while process.returncode is None:
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
    signal.signal(signal.SIGTERM, handed_on)
    if process.returncode:
        sys.exit(process.returncode)


def records(data, folder, sources):
    """The folders of the record sets, made if they are not there."""
    for name, flags in sources.items():
        if not (folder / name / FILE_NAME).exists():
            words = [flag.format(data) for flag in flags]
            run(["tools/create_voc_tfrecords.py", *words, f"--output_dir={folder / name}"])
    return [str(folder / name) for name in sources]


def score(run_dir, num_steps):
    """{metric: value} of a run's last step, or None if it has not come there."""
    row = history_file.read(run_dir / "history.csv", num_steps).rows.get(num_steps, {})
    if not row.get(METRICS[0]):
        return None
    return {name: float(row[name]) for name in METRICS}


def curve(run_dirs, num_steps):
    """Lines of a curve: the mean and standard deviation of runs, at the steps that all have."""
    histories = [history_file.read(path / "history.csv", num_steps).rows for path in run_dirs]
    lines = []
    for step in sorted(set.intersection(*map(set, histories))):
        texts = [rows[step][METRICS[0]] for rows in histories]
        if all(texts):
            values = [float(text) for text in texts]
            spread = f"{statistics.stdev(values):.3f}" if len(values) > 1 else ""
            mean = statistics.fmean(values)
            lines.append(f"{step},{METRICS[0]},{mean:.3f},{spread},{len(values)},seeds")
    return lines


def table(scores):
    """The lines of a table, and the names of the arms that differ from ``ours``.

    Two means differ if they are further apart than ``ERRORS`` standard errors of their difference;
    the standard deviation of a seed is that of all arms together. With one seed nothing can differ.

    Args:
        scores: {arm: [{metric: value} of each seed]}; as many of every arm.
    """
    lines, differing = [f"{'arm':<12} {'metric':<10} {'mean':>7} {'difference':>11}  seeds"], []
    for name in METRICS:
        values = {arm: [each[name] for each in runs] for arm, runs in scores.items()}
        means = {arm: statistics.fmean(each) for arm, each in values.items()}
        count = len(next(iter(values.values())))
        allowed = math.inf
        if count > 1:
            variance = statistics.fmean(map(statistics.variance, values.values()))
            allowed = ERRORS * math.sqrt(2 * variance / count)
        for arm, seeds in values.items():
            off = means[arm] - means.get("ours", means[arm])
            listed = " ".join(f"{value:.4f}" for value in seeds)
            lines.append(f"{arm:<12} {name:<10} {means[arm]:7.4f} {off:+11.4f}  {listed}")
            if abs(off) > allowed:
                differing.append(f"{arm} ({name})")
        known = f"{allowed:.4f}" if count > 1 else "not known from one seed"
        lines.append(f"{'':<12} {name:<10} differences that chance makes: {known}")
    return lines, differing


def parsed(argv):
    """The arguments of the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--set", choices=SETS, default="bccd")
    parser.add_argument("--arms", default=",".join(FLAGS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--num_steps", type=int, default=0, help="0: those of the recipe")
    parser.add_argument("flags", nargs="*", help="further flags of the trainer, after --")
    return parser.parse_args(argv)


def main(argv=None):
    """Trains what is left, and prints the table."""
    from ssd_tfrecord import flags
    from ssd_tfrecord.config import TrainConfig

    asked = parsed(argv)
    data = of_environment("SSD_TFRECORD_TEST_DATA")
    weights = of_environment("SSD_TFRECORD_TEST_WEIGHTS")
    recipe, weights_file, changes, sources = SETS[asked.set]
    output = asked.output_dir.resolve() / asked.set
    sets = records(data, output / "records", sources)
    words = [
        *(f"--flagfile=configs/{recipe}.flags", f"--train_records={sets[0]}", *changes),
        *(f"--eval_records={sets[-1]}", f"--backbone_weights={weights}/{weights_file}"),
        *([f"--num_steps={asked.num_steps}"] if asked.num_steps else []),
        *asked.flags,
    ]
    os.chdir(ROOT)
    num_steps = flags.parse(TrainConfig, ["train", *words, "--run_dir=any"]).num_steps
    scores = {arm: [] for arm in asked.arms.split(",")}
    for seed in asked.seeds.split(","):
        for arm, found in scores.items():
            run_dir = output / f"{arm}-{seed}"
            if score(run_dir, num_steps) is None:
                print(f"{arm}, seed {seed}: {run_dir}", flush=True)
                more = [f"--seed={seed}", f"--run_dir={run_dir}"]
                run(["tests/learning_arms.py", arm, *words, *more])
            found.append(score(run_dir, num_steps))
    lines, differing = table(scores)
    if "ours" in scores:
        run_dirs = [output / f"ours-{seed}" for seed in asked.seeds.split(",")]
        lines += ["step,metric,value,spread,runs,source", *curve(run_dirs, num_steps)]
    print("\n".join(lines))
    print(f"further off than chance: {', '.join(differing) or 'none'}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
