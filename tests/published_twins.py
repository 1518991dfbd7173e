"""Published networks as their authors run them: in plain operations, on the arrays of their files.

Names, random arrays and forward passes, written without the package's own tables and layers.
"""

import numpy as np
import tensorflow as tf

# (out, in, kernel) of torchvision's ssd300_vgg16, in the order of its forward pass.
VGG16 = {
    **{"backbone.features.0": (64, 3, 3), "backbone.features.2": (64, 64, 3)},
    **{"backbone.features.5": (128, 64, 3), "backbone.features.7": (128, 128, 3)},
    "backbone.features.10": (256, 128, 3),
    **{f"backbone.features.{n}": (256, 256, 3) for n in (12, 14)},
    "backbone.features.17": (512, 256, 3),
    **{f"backbone.features.{n}": (512, 512, 3) for n in (19, 21)},
    **{f"backbone.extra.0.{n}": (512, 512, 3) for n in (1, 3, 5)},
    **{"backbone.extra.0.7.1": (1024, 512, 3), "backbone.extra.0.7.3": (1024, 1024, 1)},
    **{"backbone.extra.1.0": (256, 1024, 1), "backbone.extra.1.2": (512, 256, 3)},
    **{"backbone.extra.2.0": (128, 512, 1), "backbone.extra.2.2": (256, 128, 3)},
    **{"backbone.extra.3.0": (128, 256, 1), "backbone.extra.3.2": (256, 128, 3)},
    **{"backbone.extra.4.0": (128, 256, 1), "backbone.extra.4.2": (256, 128, 3)},
}
MAPS = (512, 1024, 512, 256, 256, 256)
ANCHORS = (4, 6, 6, 6, 4, 4)
LOGITS, OFFSETS = (f"head.{kind}_head.module_list" for kind in ("classification", "regression"))

# The same layers in amdegroot's files, and in Caffe's.
AMDEGROOT = [
    *(f"vgg.{n}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33)),
    *(f"extras.{n}" for n in range(8)),
]
CAFFE = [
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3", "fc6", "fc7"),
    *("conv6_1", "conv6_2", "conv7_1", "conv7_2", "conv8_1", "conv8_2", "conv9_1", "conv9_2"),
]
CAFFE_MAPS = ("conv4_3_norm", "fc7", "conv6_2", "conv7_2", "conv8_2", "conv9_2")

# (kernel, expansion, out, stride, squeeze-and-excitation, hard swish) of torchvision's
# ssdlite320_mobilenet_v3_large with its reduced tail.
MOBILENET_V3 = (
    (3, 16, 16, 1, False, False),
    (3, 64, 24, 2, False, False),
    (3, 72, 24, 1, False, False),
    (5, 72, 40, 2, True, False),
    (5, 120, 40, 1, True, False),
    (5, 120, 40, 1, True, False),
    (3, 240, 80, 2, False, True),
    (3, 200, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 480, 112, 1, True, True),
    (3, 672, 112, 1, True, True),
    (5, 672, 80, 2, True, True),
    (5, 480, 80, 1, True, True),
    (5, 480, 80, 1, True, True),
)
SSDLITE_MAPS = (672, 480, 512, 256, 256, 128)


def vgg16_state(depth, seed=0):
    """A random state dict of ssd300_vgg16: logits of some units, offsets of some tenths."""
    random = np.random.default_rng(seed)
    state = {"backbone.scale_weight": random.uniform(15, 25, 512).astype(np.float32)}
    # From inputs of ±100 to features of about 1.
    for name, shape in VGG16.items():
        gain = 2.0 if name != "backbone.features.0" else 2e-4
        state |= _conv(random, name, shape, gain)
    for index, (channels, anchors) in enumerate(zip(MAPS, ANCHORS)):
        state |= _conv(random, f"{LOGITS}.{index}", (anchors * depth, channels, 3), 1.0)
        state |= _conv(random, f"{OFFSETS}.{index}", (anchors * 4, channels, 3), 0.1)
    return state


def vgg16(state, images):
    """Offsets [B, 8732, 4] as (tx, ty, tw, th), and logits, of RGB [B, 300, 300, 3]."""
    x = images - np.float32([123, 117, 104])
    maps = []
    for name, (_, _, kernel) in VGG16.items():
        dilation = 6 if name == "backbone.extra.0.7.1" else 1
        unpadded = kernel == 1 or name in ("backbone.extra.3.2", "backbone.extra.4.2")
        pad = 0 if unpadded else dilation
        stride = 2 if name in ("backbone.extra.1.2", "backbone.extra.2.2") else 1
        x = tf.nn.relu(conv(x, state, name, pad=pad, stride=stride, dilation=dilation))
        if name in {f"backbone.features.{n}" for n in (2, 7, 14, 21)}:
            if name == "backbone.features.21":
                norm = tf.norm(x, axis=-1, keepdims=True)
                maps.append(x / tf.maximum(norm, 1e-12) * state["backbone.scale_weight"])
            # An odd row of its own at the end, as ceil_mode has it.
            odd = x.shape[1] % 2
            x = tf.pad(x, [[0, 0], [0, odd], [0, odd], [0, 0]])
            x = tf.nn.max_pool2d(x, 2, 2, "VALID")
        if name == "backbone.extra.0.5":
            padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
            x = tf.nn.max_pool2d(padded, 3, 1, "VALID")
        if name == "backbone.extra.0.7.3" or ("extra" in name and name.endswith(".2")):
            maps.append(x)
    return _heads(maps, lambda kind, index, x: conv(x, state, f"{kind}.{index}", pad=1))


def amdegroot_state(state, *, prefix="", norm="L2Norm", heads=("conf", "loc")):
    """``state`` as amdegroot's file names it; with the other arguments, as lufficc's."""
    found = {f"{norm}.weight": state["backbone.scale_weight"]}
    for there, name in zip(VGG16, AMDEGROOT):
        for kind in ("weight", "bias"):
            found[f"{prefix}{name}.{kind}"] = state[f"{there}.{kind}"]
    for theirs, ours in zip((LOGITS, OFFSETS), heads):
        for index in range(6):
            for kind in ("weight", "bias"):
                found[f"{ours}.{index}.{kind}"] = state[f"{theirs}.{index}.{kind}"]
    return found


def lufficc_state(state):
    heads = [f"box_head.predictor.{kind}_headers" for kind in ("cls", "reg")]
    return amdegroot_state(state, prefix="backbone.", norm="backbone.l2_norm", heads=heads)


def caffe_blobs(state):
    """``state`` as a .caffemodel holds it: names, and conv1_1 for images as BGR."""
    found = {"conv4_3_norm/0": state["backbone.scale_weight"]}
    pairs = [
        *zip(VGG16, CAFFE),
        *((f"{LOGITS}.{index}", f"{name}_mbox_conf") for index, name in enumerate(CAFFE_MAPS)),
        *((f"{OFFSETS}.{index}", f"{name}_mbox_loc") for index, name in enumerate(CAFFE_MAPS)),
    ]
    for there, name in pairs:
        found[f"{name}/0"] = state[f"{there}.weight"]
        found[f"{name}/1"] = state[f"{there}.bias"]
    found["conv1_1/0"] = np.ascontiguousarray(found["conv1_1/0"][:, ::-1])
    return found


def keras_arrays(state):
    """``state`` as ssd_keras's .h5 holds it."""
    found = {}
    for name, array in caffe_blobs(state).items():
        layer, index = name.split("/")
        kind = "kernel" if index == "0" else "bias"
        kind = "conv4_3_norm_gamma" if layer == "conv4_3_norm" else kind
        kernel = np.transpose(array, (2, 3, 1, 0)) if array.ndim == 4 else array
        found[f"{layer}/{kind}:0"] = np.ascontiguousarray(kernel)
    return found


def ssdlite_state(depth, seed=0):
    """A random state dict of ssdlite320_mobilenet_v3_large."""
    random = np.random.default_rng(seed)
    state = _normalized(random, "backbone.features.0.0", (16, 3, 3))
    channels = 16
    for index, (kernel, inner, outer, _, squeezes, _) in enumerate(MOBILENET_V3):
        names = iter(_parts(index))
        if inner != channels:
            state |= _normalized(random, next(names), (inner, channels, 1))
        state |= _normalized(random, next(names), (inner, 1, kernel))
        if squeezes:
            name = next(names)
            # A quarter, to the next multiple of 8: 18 -> 24, 30 -> 32.
            squeezed = {72: 24, 120: 32, 480: 120, 672: 168}[inner]
            state |= _conv(random, f"{name}.fc1", (squeezed, inner, 1), 2.0)
            state |= _conv(random, f"{name}.fc2", (inner, squeezed, 1), 2.0)
        state |= _normalized(random, next(names), (outer, inner, 1))
        channels = outer
    state |= _normalized(random, "backbone.features.1.3", (480, 80, 1))
    channels = 480
    for index, outer in enumerate(SSDLITE_MAPS[2:]):
        name = f"backbone.extra.{index}"
        state |= _normalized(random, f"{name}.0", (outer // 2, channels, 1))
        state |= _normalized(random, f"{name}.1", (outer // 2, 1, 3))
        state |= _normalized(random, f"{name}.2", (outer, outer // 2, 1))
        channels = outer
    for index, channels in enumerate(SSDLITE_MAPS):
        for kind, outputs in ((LOGITS, 6 * depth), (OFFSETS, 24)):
            state |= _normalized(random, f"{kind}.{index}.0", (channels, 1, 3))
            state |= _conv(random, f"{kind}.{index}.1", (outputs, channels, 1), 1.0)
    return state


def ssdlite(state, images):
    """Offsets [B, 3234, 4] as (tx, ty, tw, th) and logits of RGB [B, 320, 320, 3]."""
    x = images / np.float32(127.5) - 1
    x = _swish(_bn(x, state, "backbone.features.0.0", stride=2))
    maps = []
    for index, (_, inner, outer, stride, squeezes, swishes) in enumerate(MOBILENET_V3):
        activation = _swish if swishes else tf.nn.relu
        names, before = iter(_parts(index)), x
        if inner != x.shape[-1]:
            x = activation(_bn(x, state, next(names)))
        if index == 12:
            maps.append(x)
        x = activation(_bn(x, state, next(names), stride=stride, depthwise=True))
        if squeezes:
            name = next(names)
            gates = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
            gates = conv(tf.nn.relu(conv(gates, state, f"{name}.fc1")), state, f"{name}.fc2")
            x *= tf.clip_by_value(gates / 6 + 0.5, 0, 1)
        x = _bn(x, state, next(names))
        if stride == 1 and before.shape[-1] == outer:
            x += before
    maps.append(_swish(_bn(x, state, "backbone.features.1.3")))
    for index in range(4):
        name = f"backbone.extra.{index}"
        x = tf.nn.relu6(_bn(maps[-1], state, f"{name}.0"))
        x = tf.nn.relu6(_bn(x, state, f"{name}.1", stride=2, depthwise=True))
        maps.append(tf.nn.relu6(_bn(x, state, f"{name}.2")))

    def head(kind, index, x):
        x = tf.nn.relu6(_bn(x, state, f"{kind}.{index}.0", depthwise=True))
        return conv(x, state, f"{kind}.{index}.1")

    return _heads(maps, head, anchors=(6,) * 6)


def conv(x, state, name, *, pad=0, stride=1, dilation=1, depthwise=False):
    """PyTorch's Conv2d: zeros on all sides, then no padding."""
    kernel = state[f"{name}.weight"]
    x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    if depthwise:
        turned = np.transpose(kernel, (2, 3, 0, 1))
        y = tf.nn.depthwise_conv2d(x, turned, [1, stride, stride, 1], "VALID")
    else:
        turned = np.transpose(kernel, (2, 3, 1, 0))
        y = tf.nn.conv2d(x, turned, stride, "VALID", dilations=dilation)
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


def _heads(maps, head, anchors=ANCHORS):
    parts = {}
    for kind in (OFFSETS, LOGITS):
        rows = []
        for index, (x, number) in enumerate(zip(maps, anchors)):
            y = head(kind, index, x)
            rows.append(tf.reshape(y, [len(y), -1, y.shape[-1] // number]))
        parts[kind] = tf.concat(rows, axis=1).numpy()
    return parts[OFFSETS], parts[LOGITS]


def _parts(index):
    if index == 12:
        return ["backbone.features.0.13", *(f"backbone.features.1.0.{n}" for n in (1, 2, 3))]
    place = f"0.{index + 1}" if index < 12 else f"1.{index - 12}"
    return [f"backbone.features.{place}.block.{n}" for n in range(4)]


def _bn(x, state, name, *, stride=1, depthwise=False):
    kernel = state[f"{name}.0.weight"].shape[-1]
    x = conv(x, state, f"{name}.0", pad=kernel // 2, stride=stride, depthwise=depthwise)
    kinds = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (state[f"{name}.1.{kind}"] for kind in kinds)
    return (x - mean) / np.sqrt(variance + np.float32(1e-3)) * gamma + beta


def _swish(x):
    return x * tf.clip_by_value(x + 3, 0, 6) / 6


def _conv(random, name, shape, gain):
    """Kernel and bias of a convolution, whose outputs have a variance of ``gain`` / 2 x inputs'."""
    out, channels, kernel = shape
    scale = np.float32((gain / (channels * kernel**2)) ** 0.5)
    kernels = random.standard_normal((out, channels, kernel, kernel), dtype=np.float32) * scale
    bias = random.standard_normal(out, dtype=np.float32) * np.float32(0.1)
    return {f"{name}.weight": kernels, f"{name}.bias": bias}


def _normalized(random, name, shape):
    kernel = _conv(random, f"{name}.0", shape, 2.0)[f"{name}.0.weight"]
    values = {
        kind: random.uniform(low, high, shape[0]).astype(np.float32)
        for kind, low, high in (
            ("weight", 0.8, 1.2),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        )
    }
    counter = {f"{name}.1.num_batches_tracked": np.array(7)}
    return {f"{name}.0.weight": kernel, **{f"{name}.1.{k}": v for k, v in values.items()}} | counter
