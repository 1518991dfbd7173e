"""What a run has learnt so far: a Learner, and the checkpoints that it is saved in."""

from dataclasses import dataclass

import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.model import summary
from ssd_tfrecord.records.manifest import ClassLabel
from ssd_tfrecord.runs import checkpoints, run_folder
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.runs.identity import Identity
from ssd_tfrecord.training import learner
from ssd_tfrecord.training.cluster import synchrony
from ssd_tfrecord.training.learner import Learner
from ssd_tfrecord.training.logs.voice import Voice


@dataclass(frozen=True)
class RunState:
    """A Learner after ``step`` finished steps, and its checkpoints."""

    learner: Learner
    checkpoints: Checkpoints
    step: int


def create(
    config: TrainConfig,
    classes: tuple[ClassLabel, ...],
    strategy: tf.distribute.Strategy,
    voice: Voice,
    identity: Identity | None = None,
) -> RunState:
    """Makes a Learner with initial weights, or restores it from the run's last checkpoint.

    The run folder is made here, after everything has proved usable.

    Args:
        config: of the run.
        classes: of the training sets.
        strategy: the variables are made in its scope.
        voice: says where the weights come from.
        identity: of the run; by default that of its flags.

    Raises:
        InputError: the classes are not those of the run, or the weights do not fit the network.
    """
    resumes = run_folder.resumes(config)
    if resumes:
        checkpoints.check_classes(config.run_dir, classes)
    made = learner.build(
        config, len(classes), strategy, num_steps=config.num_steps, seed=config.seed
    )
    voice.say(summary.summary_table(made.model, BACKBONES[config.model.backbone]))
    # Otherwise the checkpoint is to replace them.
    if not resumes:
        with strategy.scope():
            voice.say("\n".join(learner.first_weights(made.model, classes, config)))
        if made.averages:
            made.averages.reset()
        if made.frozen and not config.init_checkpoint and config.model.backbone_weights == "none":
            voice.say(
                f"--freeze={config.optimizer.freeze}: these layers begin at random, and stay so; "
                "give --backbone_weights or --init_checkpoint"
            )
    for line in run_folder.begin(config, identity):
        voice.say(line)
    kept = Checkpoints(
        config.run_dir,
        model=made.model,
        optimizer=made.optimizer,
        keep=config.checkpoints.keep_checkpoints,
        averages=made.averages,
        say=voice.say,
    )
    kept.write_classes(classes)
    step = kept.restore()
    synchrony.send_to_all(made.variables, strategy)
    if step:
        voice.say(f"resuming at step {step}")
    return RunState(made, kept, step)
