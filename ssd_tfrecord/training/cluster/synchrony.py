"""Equal variables on all workers, and what TensorFlow says when these are no longer all."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ssd_tfrecord.tracing import not_converted

# Raised in a step where another worker has ended, but for other reasons, too.
BROKEN = (
    *(tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError),
    *(tf.errors.InternalError, tf.errors.DeadlineExceededError, tf.errors.FailedPreconditionError),
)


def send_to_all(variables: Sequence[tf.Variable], strategy: tf.distribute.Strategy) -> None:
    """Gives all workers the leader's values; each has to call it.

    So that only the leader has to read checkpoints and weight files.

    Args:
        variables: made in the scope of ``strategy``, on all workers alike.
        strategy: of several workers; of one, nothing is done.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return

    # A sum is of one type.
    for dtype in sorted({variable.dtype for variable in variables}, key=str):
        _send([variable for variable in variables if variable.dtype == dtype], strategy)


def _send(variables: Sequence[tf.Variable], strategy: tf.distribute.Strategy) -> None:
    @not_converted
    def leaders() -> list[tf.Tensor]:
        """The values of the first replica of all, as a sum to which others add nothing."""
        context = tf.distribute.get_replica_context()
        is_first = tf.equal(context.replica_id_in_sync_group, 0)
        values = [tf.convert_to_tensor(variable) for variable in variables]
        sent = [tf.where(is_first, value, tf.zeros_like(value)) for value in values]
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, sent))

    def send() -> None:
        for variable, value in zip(variables, strategy.run(leaders)):
            variable.assign(strategy.experimental_local_results(value)[0], read_value=False)

    tf.function(send, autograph=False)()


def variables_of(*owners: Any) -> list[tf.Variable]:
    """The numbers that ``owners`` hold as variables, each once, in an order that is equal on all.

    Args:
        *owners: models, optimizers, dicts of variables, or None.
    """
    found: dict[int, tf.Variable] = {}
    for owner in owners:
        held: Any = ()
        if isinstance(owner, dict):
            held = owner.values()
        elif owner is not None:
            # A legacy optimizer's is a method.
            held = owner.variables() if callable(owner.variables) else owner.variables
        for variable in held:
            found.setdefault(id(variable), variable)
    return [variable for variable in found.values() if variable.dtype != tf.bool]
