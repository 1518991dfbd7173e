"""Optimizers: SGD with Caffe's weight decay, and SGDW, LAMB and NovoGrad from TensorFlow Addons.

Weight decay applies to kernels, depthwise kernels and the scale of the L2 norm, not to biases and
batch normalisation.
"""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.training.preflight import require_addons
from ssd_tfrecord.training.update.schedules import LearningRate

# The names of a mirrored variable's copies end in /replica_N.
_NOT_DECAYED = r"(bias|beta|gamma)(/replica_\d+)?:0$"


def create(options: OptimizerOptions, num_steps: int, precision: str) -> keras.optimizers.Optimizer:
    """Makes the optimizer; to be called in the strategy's scope.

    The decoupled decay of sgdw and novograd is ``weight_decay`` times the step's learning rate.

    Args:
        options: which optimizer, and its hyperparameters.
        num_steps: end of the learning rate schedule.
        precision: ``mixed_float16`` adds loss scaling, as half-precision gradients may underflow.

    Raises:
        InputError: this stack does not have the optimizer.
    """
    rate = LearningRate(options, num_steps)
    if options.optimizer == "sgd":
        # Keras would compile the update of each variable separately, which costs compile time and
        # gains nothing.
        optimizer = _SGD(rate, momentum=options.momentum, jit_compile=False)
    else:
        optimizer = _addons_optimizer(options, rate)
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def build(optimizer: keras.optimizers.Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Makes the optimizer's variables, so that a checkpoint and the first step find them."""
    # Addons' optimizers are legacy ones, which have no build.
    inner = optimizer.inner_optimizer if scales(optimizer) else optimizer
    if isinstance(inner, keras.optimizers.legacy.Optimizer):
        optimizer._create_all_weights(variables)
    else:
        inner.build(variables)


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[tf.Tensor],
    variables: Sequence[tf.Variable],
    options: OptimizerOptions,
) -> None:
    """Clips and applies gradients; to be called in replica context.

    For sgd, ``weight_decay`` times the variable is added to the gradients of all that decays. For
    sgd and sgdw, the gradients of biases are doubled, which doubles their learning rate, as in
    Caffe SSD (lamb and novograd normalise a variable's gradient, so a factor would have no effect).
    Clipping comes before both.

    Args:
        optimizer: made by ``create``.
        gradients: one per variable, summed over the replicas and unscaled.
        variables: the variables to update.
        options: those of ``create``.
    """
    if options.gradient_clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, options.gradient_clip_norm)
    prepared = [
        (_prepare(gradient, variable, options), variable)
        for gradient, variable in zip(gradients, variables)
    ]
    # The caller has already summed them: Keras would do so once more.
    optimizer.apply_gradients(prepared, experimental_aggregate_gradients=False)


def apply_or_undo(
    finite: tf.Tensor,
    apply_fn: Callable[[list[tf.Tensor]], Any],
    gradients: list[tf.Tensor],
    undo_fn: Callable[[list[tf.Tensor]], Any],
    before: list[tf.Tensor],
) -> None:
    """Calls ``apply_fn(gradients)`` if ``finite``, else ``undo_fn(before)``; in replica context.

    An optimizer that updates mirrored variables leaves the replica context, which no branch of a
    cond in replica context may do. Here the cond is outside, as in Keras's ``LossScaleOptimizer``.

    Args:
        finite: bool, equal on all replicas.
        apply_fn: called in replica context.
        gradients: of this replica; what a function takes from elsewhere is the first replica's.
        undo_fn: called in replica context.
        before: of this replica.
    """
    if tf.__internal__.distribute.strategy_supports_no_merge_call():
        tf.cond(finite, lambda: _done(apply_fn(gradients)), lambda: _done(undo_fn(before)))
        return

    def outside(
        strategy: tf.distribute.Strategy, finite: Any, gradients: Any, before: Any
    ) -> tf.Tensor:
        each = strategy.extended.call_for_each_replica
        return tf.cond(
            strategy.experimental_local_results(finite)[0],
            lambda: _done(each(apply_fn, args=(gradients,))),
            lambda: _done(each(undo_fn, args=(before,))),
        )

    tf.distribute.get_replica_context().merge_call(outside, args=(finite, gradients, before))


def _done(_: Any) -> tf.Tensor:
    # Both branches of a cond return the same.
    return tf.constant(True)


def count_step(optimizer: keras.optimizers.Optimizer) -> None:
    """Counts a step that changed nothing: the learning rate stays that of the step's number."""
    optimizer.iterations.assign_add(1)


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """The current scale, float32; 1 without loss scaling."""
    return tf.convert_to_tensor(optimizer.loss_scale) if scales(optimizer) else tf.constant(1.0)


def scales(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether ``optimizer`` scales the loss."""
    return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


def scale_loss(optimizer: keras.optimizers.Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """``loss`` times the loss scale; unchanged without loss scaling."""
    return optimizer.get_scaled_loss(loss) if scales(optimizer) else loss


def unscale(optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """``gradients`` of a scaled loss, divided by the loss scale; unchanged without loss scaling."""
    return optimizer.get_unscaled_gradients(gradients) if scales(optimizer) else gradients


def decays(name: str) -> bool:
    """Whether weight decay applies to the variable called ``name``."""
    return re.search(_NOT_DECAYED, name) is None


def _prepare(gradient: tf.Tensor, variable: tf.Variable, options: OptimizerOptions) -> tf.Tensor:
    if options.optimizer == "sgd" and options.weight_decay and decays(variable.name):
        return gradient + options.weight_decay * tf.cast(variable, gradient.dtype)
    if options.optimizer in ("sgd", "sgdw") and re.search(r"bias(/replica_\d+)?:0$", variable.name):
        return 2.0 * gradient
    return gradient


class _SGD(keras.optimizers.SGD):
    """Keras's, to the bit, with one operation for the update of a variable instead of eight.

    MobileNetV2 has 243 variables: 1.2 of the 20 CPU s from the command to its first step.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Velocity <- momentum x velocity - rate x gradient; variable <- variable + velocity."""
        if not self.momentum:
            super().update_step(gradient, variable)
            return
        velocity = self.momentums[self._index_dict[self._var_key(variable)]]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=tf.cast(self.learning_rate, variable.dtype),
            grad=gradient,
            momentum=tf.constant(self.momentum, variable.dtype),
        )


class _ScaledRate(keras.optimizers.schedules.LearningRateSchedule):
    """``factor`` times the learning rate of each step."""

    def __init__(self, rate: LearningRate, factor: float) -> None:
        super().__init__()
        self.rate, self.factor = rate, factor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return self.factor * self.rate(step)

    def get_config(self) -> dict[str, Any]:
        return {"rate": self.rate, "factor": self.factor}


def _addons_optimizer(options: OptimizerOptions, rate: LearningRate) -> keras.optimizers.Optimizer:
    require_addons(options.optimizer)
    with warnings.catch_warnings():
        # At import, Addons warns that it is no longer developed; this stack is pinned to its last
        # version.
        warnings.filterwarnings("ignore", message=r"[\s\S]*TensorFlow Addons", category=UserWarning)
        import tensorflow_addons as tfa

    if options.optimizer == "lamb":
        return tfa.optimizers.LAMB(
            rate,
            beta_1=options.momentum,
            weight_decay=options.weight_decay,
            # Patterns, which Addons looks for in the variables' names.
            exclude_from_weight_decay=[_NOT_DECAYED],
        )
    if options.optimizer == "sgdw":
        return _sgdw_class(tfa)(
            # Addons does not multiply the decay by the learning rate.
            weight_decay=_ScaledRate(rate, options.weight_decay),
            learning_rate=rate,
            momentum=options.momentum,
        )
    return _novograd_class(tfa, options.weight_decay)(rate, beta_1=options.momentum)


def _sgdw_class(tfa: Any) -> Any:
    class SGDW(tfa.optimizers.SGDW):
        # Addons' own exclusion compares references, and the copies of a mirrored variable never
        # equal those that it was given: on several replicas nothing would decay.
        def _do_use_weight_decay(self, var: tf.Variable) -> bool:
            return decays(var.name)

    return SGDW


def _novograd_class(tfa: Any, weight_decay: float) -> Any:
    class NovoGrad(tfa.optimizers.NovoGrad):
        # Addons' own decay includes every variable.
        def _resource_apply_dense(
            self, grad: tf.Tensor, var: tf.Variable, apply_state: Any = None
        ) -> tf.Operation:
            factor = weight_decay * apply_state[var.device, var.dtype.base_dtype]["lr_t"]
            decayed = [var.assign_sub(factor * var)] if decays(var.name) else []
            with tf.control_dependencies(decayed):
                return super()._resource_apply_dense(grad, var, apply_state=apply_state)

    return NovoGrad
