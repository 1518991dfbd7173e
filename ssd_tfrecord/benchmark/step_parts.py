"""What the parts of a training step cost, beside a peer's step in the same rounds."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from ssd_tfrecord.backbones import BACKBONES
from ssd_tfrecord.benchmark import rounds
from ssd_tfrecord.benchmark.peers import peer_process
from ssd_tfrecord.benchmark.peers.peer_process import Peer
from ssd_tfrecord.benchmark.rounds import Cost
from ssd_tfrecord.config import BenchmarkConfig
from ssd_tfrecord.data import pipeline
from ssd_tfrecord.data.pipeline import Batch
from ssd_tfrecord.model import losses
from ssd_tfrecord.model.targets import assign_targets
from ssd_tfrecord.tracing import not_converted
from ssd_tfrecord.training.learner import Learner

# Of a step, in the order in which they follow each other in it.
PARTS = ("forward", "input gradients", "filter gradients", "the rest")


def measure_parts(
    config: BenchmarkConfig, made: Learner, batch: Batch, num_classes: int
) -> dict[str, Any]:
    """Measures the parts of a step, inference and, if it is wanted, a peer's step in turns.

    A part is what a longer piece of the step costs more than a shorter one: the loss; with the
    gradients of all maps; with those of all weights; the whole step with colours, matching and
    optimizer. Without replicas, as parts cannot be told apart there.

    Args:
        config: of the benchmark.
        made: the network and its step.
        batch: that is used again and again.
        num_classes: number of classes without the background.

    Returns:
        ``part_cpu_ms_per_image`` and ``shares`` as of ``rounds.part_figures``, ``inference``
        {cpu_ms_per_image} and, with a peer, ``peers`` {name: figures}; ``peer_left_out`` is a line
        where it cannot be measured.
    """
    works = _works(config, made, batch)
    with _peer(config, num_classes) as peer:
        turns: dict[str, Callable[[], object]] = dict(works)
        if isinstance(peer, Peer):
            for name in ("step", "inference"):
                turns[f"peer {name}"] = _turn(peer, name, config.num_steps)
        costs = rounds.measure(turns, config.num_rounds)
        num_images = config.num_steps * config.batch_size
        per_image = {name: [cost.over(num_images) for cost in costs[name]] for name in works}
        inference = per_image.pop("inference")
        found: dict[str, Any] = rounds.part_figures(per_image)
        found["inference"] = {
            "cpu_ms_per_image": rounds.median([cost.cpu_ms for cost in inference])
        }
        if isinstance(peer, Peer):
            ours = {"step": per_image[PARTS[-1]], "inference": inference}
            found["peers"] = {config.peer: _peer_figures(config, peer, ours)}
        elif peer:
            found["peer_left_out"] = peer
    return found


def _works(config: BenchmarkConfig, made: Learner, batch: Batch) -> dict[str, Callable[[], object]]:
    """{part: the step up to its end}, and inference."""
    model, variables = made.model, made.model.trainable_variables
    # The first that is no kernel: its gradient needs those of all maps, and is cheap itself.
    bottom = [next(variable for variable in variables if variable.shape.rank == 1)]

    @not_converted
    def loss_of(images: tf.Tensor, targets: dict[str, tf.Tensor]) -> tf.Tensor:
        anchors = tf.constant(made.anchors)
        outputs = model(images, training=True)
        class_sum, box_sum, _ = losses.multibox_sums(outputs, targets, anchors, config.loss)
        return class_sum + config.loss.box_loss_weight * box_sum

    def gradients(wanted: Sequence[tf.Variable]) -> Callable[..., list[tf.Tensor]]:
        def compute(images: tf.Tensor, targets: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                loss = loss_of(images, targets)
            return tape.gradient(loss, wanted)

        return not_converted(compute)

    @not_converted
    def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return model(images, training=False)

    def graph(function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(function, jit_compile=config.xla or None, autograph=False)

    images = pipeline.network_images(batch, config.input.color)
    targets, _ = assign_targets(batch.boxes, batch.labels, tf.constant(made.anchors))
    step = tf.function(made.step_fn, autograph=False)
    chains = (
        *(
            _repeat(graph(piece), (images, targets), config)
            for piece in (loss_of, gradients(bottom), gradients(variables))
        ),
        _repeat(step, (batch,), config),
    )
    return {**dict(zip(PARTS, chains)), "inference": _repeat(graph(detect), (images,), config)}


def _repeat(
    function: Callable[..., Any], arguments: tuple[Any, ...], config: BenchmarkConfig
) -> Callable[[], None]:
    def work() -> None:
        for _ in range(config.num_steps):
            # Waits: a GPU, or TensorFlow's threads, would still be at work.
            tf.nest.map_structure(lambda value: value.numpy(), function(*arguments))

    return work


@contextlib.contextmanager
def _peer(config: BenchmarkConfig, num_classes: int) -> Iterator[Peer | str]:
    if not config.peer:
        yield ""
        return
    with peer_process.started(
        config.peer,
        config.model.backbone,
        python=config.peer_python,
        batch_size=config.batch_size,
        num_classes=num_classes,
    ) as peer:
        yield peer


def _turn(peer: Peer, work: str, count: int) -> Callable[[], None]:
    return lambda: peer.run(work, count)


def _peer_figures(
    config: BenchmarkConfig, peer: Peer, ours: Mapping[str, Sequence[Cost]]
) -> dict[str, Any]:
    """{facts, step and inference: CPU ms an image, and how many times as fast ours is}."""
    num_images = config.num_steps * config.batch_size
    own = BACKBONES[config.model.backbone].costs.get(config.model.input_size)
    found: dict[str, Any] = {"facts": peer.facts}
    for name, costs in ours.items():
        # The first round is not counted.
        theirs = [cost["cpu_ms"] / num_images for cost in peer.costs[name][1:]]
        # Of one round each: noise that lasts for a round cancels out.
        ratios = [their / our.cpu_ms for their, our in zip(theirs, costs)]
        found[name] = {
            "cpu_ms_per_image": rounds.median(theirs),
            "speed_of_ours": rounds.median(ratios),
            "speed_spread": rounds.spread(ratios),
        }
        if own and config.model.width == 1.0:
            share = own.multiply_adds / peer.facts["multiply_adds"]
            found[name]["speed_per_multiply_add"] = found[name]["speed_of_ours"] * share
    return found
