"""Before training: everything that can go wrong is looked at, and the recipe is chosen."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence

from ssd_tfrecord.config import FitConfig, TrainConfig
from ssd_tfrecord.devices import onednn
from ssd_tfrecord.fitting import choices, recipe_file, weights_choice
from ssd_tfrecord.fitting.choices import Choice, Machine, Material
from ssd_tfrecord.fitting.fit_folder import FitFolder
from ssd_tfrecord.records.manifest import Manifest, load_manifests
from ssd_tfrecord.runs.run_files import write_text

FILE_NAME = "check.json"


def run(config: FitConfig, folder: FitFolder) -> None:
    """Checks, prints what it finds, and writes recipe.flags and check.json.

    Raises:
        InputError: no batch fits, a record is damaged, or the weights cannot be used.
    """
    paths = tuple(str(folder.record_sets[name]) for name in folder.trained)
    train = load_manifests(paths)
    given = config.backbone_weights
    is_file = given not in ("auto", "imagenet", "none")
    of_file = weights_choice.backbone_of(given) if is_file else ""
    onednn.set_up("auto")
    _run(config, folder, train, of_file)


def _run(config: FitConfig, folder: FitFolder, train: Sequence[Manifest], of_file: str) -> None:
    import tensorflow as tf

    from ssd_tfrecord.devices.strategy import create_strategy, device_table
    from ssd_tfrecord.fitting import rehearsal
    from ssd_tfrecord.options import DeviceOptions, flag_text

    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    strategy = create_strategy(DeviceOptions())
    say(device_table(strategy, DeviceOptions()))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = Machine(len(tf.config.list_physical_devices("GPU")), cores or 1)
    material = Material(sum(item.num_records for item in train), len(train[0].classes))
    name, weights = _network(config, machine, of_file, say)
    folders = flag_text(tuple(item.directory for item in train))
    words = [f"--train_records={folders}", "--run_dir=any"]

    def recipe(size: int, steps: tuple[int, str]) -> list[Choice]:
        return choices.recipe(config, machine, name, weights, size=size, steps=steps)

    size = choices.batch_size(config, machine)
    anchors = _anchors(recipe_file.parsed(recipe(size, (1, "")), words), train, say)
    trial = recipe_file.parsed([*recipe(size, (1, "")), anchors], words)
    if machine.num_gpus and not config.global_batch_size:
        size = rehearsal.fitting_batch(trial, train, strategy, say)
        trial = dataclasses.replace(trial, global_batch_size=size)
    outcome = rehearsal.rehearse(trial, train, strategy)
    for line in outcome.lines(size, bool(machine.num_gpus)):
        say(line)
    seconds = outcome.image_seconds * size
    steps = choices.num_steps(config, material, machine, weights, size=size, step_seconds=seconds)
    chosen = [*recipe(size, steps), anchors]
    # For its errors alone.
    recipe_file.parsed(chosen, words)
    say(f"{steps[0]:,} steps of {size} images ({steps[1]}): about {duration(steps[0] * seconds)}")
    recipe_file.write(folder.path / recipe_file.NAME, chosen, folder.training_words())
    facts = {"lines": said, "outcome": dataclasses.asdict(outcome)}
    write_text(folder.path / FILE_NAME, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    print(f"recipe: {folder.path / recipe_file.NAME}")


def _network(
    config: FitConfig, machine: Machine, of_file: str, say: Callable[[str], None]
) -> tuple[str, str]:
    """(backbone, value of --backbone_weights)."""
    first = choices.backbone(config, machine, config.backbone_weights, of_file)
    weights, line = weights_choice.find(config.backbone_weights, first)
    if line:
        say(line)
    return choices.backbone(config, machine, weights, of_file), weights


def _anchors(config: TrainConfig, train: Sequence[Manifest], say: Callable[[str], None]) -> Choice:
    """The anchors, by the boxes as training will see them; says how many they match."""
    from ssd_tfrecord.fitting import anchor_choice, seen_boxes

    seen = seen_boxes.seen_boxes(
        train, config.input, input_size=config.model.input_size, seed=config.seed
    )
    # A cell of the finest map: 8 pixels, of MobileNetV3 16.
    cell = config.model.maps.steps[0]
    say(seen_boxes.lost_to_size(seen.boxes, config.model.input_size, side=cell))
    found = anchor_choice.choose_anchors(
        train, config.input, config.model, config.anchors, seed=config.seed, seen=seen
    )
    for line in found.lines:
        say(line)
    options = found.options
    chosen = {"anchor_scales": options.anchor_scales, "aspect_ratios": options.aspect_ratios}
    return Choice(chosen, found.lines[-1].removeprefix("anchors: "))


def duration(seconds: float) -> str:
    """In words: 40 s, 12 min, 3 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
