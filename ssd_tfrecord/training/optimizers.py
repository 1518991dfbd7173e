"""Optimizers: SGD with Caffe's weight decay, and TensorFlow Addons' SGDW, LAMB and NovoGrad.

Kernels, depthwise kernels and the L2 norm's scale decay; biases and batch normalisation do not.
"""

import re
import warnings

import tensorflow as tf

from ssd_tfrecord.keras import keras
from ssd_tfrecord.options import OptimizerOptions
from ssd_tfrecord.training.preflight import require_addons
from ssd_tfrecord.training.schedules import LearningRate

# The names of a mirrored variable's copies end in /replica_N.
_NOT_DECAYED = r"(bias|beta|gamma)(/replica_\d+)?:0$"


def create(options: OptimizerOptions, num_steps: int, precision: str):
    """The optimizer, with loss scaling under ``mixed_float16``; made inside the strategy's scope.

    The decoupled decay of sgdw and novograd is ``weight_decay`` times the rate of the step.
    Raises ``InputError`` where this stack lacks the optimizer.
    """
    rate = LearningRate(options, num_steps)
    if options.optimizer == "sgd":
        # Compiling the update of each variable by itself costs compile time and gains nothing.
        optimizer = keras.optimizers.SGD(rate, momentum=options.momentum, jit_compile=False)
    else:
        optimizer = _addons_optimizer(options, rate)
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def build(optimizer, variables) -> None:
    """Makes the optimizer's variables, so that a checkpoint and the first step find them."""
    inner = optimizer.inner_optimizer if scales(optimizer) else optimizer
    if isinstance(inner, keras.optimizers.legacy.Optimizer):
        optimizer._create_all_weights(variables)
    else:
        inner.build(variables)


def apply_gradients(optimizer, gradients, variables, options: OptimizerOptions) -> None:
    """Applies ``gradients``, summed over the replicas and unscaled, in replica context.

    Sgd adds ``weight_decay`` times the variable to the gradient of all that decays; sgd and sgdw
    double the gradients of biases, which is twice the rate (lamb and novograd normalise a
    variable's gradient, so a factor would be lost). Clipping comes before both.
    """
    if options.gradient_clip_norm:
        gradients, _ = tf.clip_by_global_norm(gradients, options.gradient_clip_norm)
    prepared = [
        (_prepare(gradient, variable, options), variable)
        for gradient, variable in zip(gradients, variables)
    ]
    optimizer.apply_gradients(prepared, experimental_aggregate_gradients=False)


def scales(optimizer) -> bool:
    """Whether ``optimizer`` scales the loss."""
    return isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)


def scale_loss(optimizer, loss):
    """``loss`` times the loss scale; as it is without loss scaling."""
    return optimizer.get_scaled_loss(loss) if scales(optimizer) else loss


def unscale(optimizer, gradients):
    """``gradients`` of a scaled loss over the loss scale; as they are without loss scaling."""
    return optimizer.get_unscaled_gradients(gradients) if scales(optimizer) else gradients


def decays(name: str) -> bool:
    """Whether the variable called ``name`` takes weight decay."""
    return re.search(_NOT_DECAYED, name) is None


def _prepare(gradient, variable, options):
    if options.optimizer == "sgd" and options.weight_decay and decays(variable.name):
        return gradient + options.weight_decay * tf.cast(variable, gradient.dtype)
    if options.optimizer in ("sgd", "sgdw") and re.search(r"bias(/replica_\d+)?:0$", variable.name):
        return 2.0 * gradient
    return gradient


class _ScaledRate(keras.optimizers.schedules.LearningRateSchedule):
    """``factor`` times the rate of each step."""

    def __init__(self, rate, factor):
        super().__init__()
        self.rate, self.factor = rate, factor

    def __call__(self, step):
        return self.factor * self.rate(step)

    def get_config(self):
        return {"rate": self.rate, "factor": self.factor}


def _addons_optimizer(options, rate):
    require_addons(options.optimizer)
    with warnings.catch_warnings():
        # Addons says at import that it has ended; the stack that has it is pinned to its last.
        warnings.filterwarnings("ignore", message=r"[\s\S]*TensorFlow Addons", category=UserWarning)
        import tensorflow_addons as tfa

    if options.optimizer == "lamb":
        return tfa.optimizers.LAMB(
            rate,
            beta_1=options.momentum,
            weight_decay=options.weight_decay,
            exclude_from_weight_decay=[_NOT_DECAYED],
        )
    if options.optimizer == "sgdw":
        return _sgdw_class(tfa)(
            weight_decay=_ScaledRate(rate, options.weight_decay),
            learning_rate=rate,
            momentum=options.momentum,
        )
    return _novograd_class(tfa, options.weight_decay)(rate, beta_1=options.momentum)


def _sgdw_class(tfa):
    class SGDW(tfa.optimizers.SGDW):
        # Addons' own exclusion compares references, which the copies of a mirrored variable never
        # equal: on several replicas nothing would decay.
        def _do_use_weight_decay(self, var):
            return decays(var.name)

    return SGDW


def _novograd_class(tfa, weight_decay):
    class NovoGrad(tfa.optimizers.NovoGrad):
        # Addons' own decay takes in every variable.
        def _resource_apply_dense(self, grad, var, apply_state=None):
            factor = weight_decay * apply_state[var.device, var.dtype.base_dtype]["lr_t"]
            decayed = [var.assign_sub(factor * var)] if decays(var.name) else []
            with tf.control_dependencies(decayed):
                return super()._resource_apply_dense(grad, var, apply_state=apply_state)

    return NovoGrad
