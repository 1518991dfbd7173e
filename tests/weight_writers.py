"""Writes files of weights in the layouts of other programs, from {name: array}, without them.

An array of uint16 stands for the bits of bfloat16 (torch and .safetensors).
"""

import json
import struct
import zipfile

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "uint16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
SAFETENSORS = {
    **{"float32": "F32", "float64": "F64", "float16": "F16", "uint16": "BF16"},
    **{"int64": "I64", "int32": "I32", "uint8": "U8", "bool": "BOOL"},
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Raw(bytes):
    """Opcodes put into a pickle as they are; they leave one value on the stack."""


def torch_zip(path, state, *, root="archive", byteorder="little", **options):
    """A .pth as of torch 1.6; ``state`` may be nested: {"model": {name: array}, "epoch": 3}."""
    body, storages = pickled(state, **options)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr(f"{root}/data.pkl", b"\x80\x02" + body + b".")
        if byteorder:
            file.writestr(f"{root}/byteorder", byteorder)
        for key, array in storages.items():
            data = array.byteswap() if byteorder == "big" else array
            file.writestr(f"{root}/data/{key}", data.tobytes())
        file.writestr(f"{root}/version", "3\n")


def torch_legacy(path, state, **options):
    """A .pth as before torch 1.6: five pickles, then the storages."""
    body, storages = pickled(state, legacy=True, **options)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    parts = [LEGACY_MAGIC, 1001, system]
    pickles = [*(pickled(part)[0] for part in parts), body, pickled(sorted(storages))[0]]
    with open(path, "wb") as file:
        file.writelines(b"\x80\x02" + pickle + b"." for pickle in pickles)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())


def pickled(value, *, legacy=False, parameters=False):
    """Opcodes of a value, and {key: array} of the storages that it refers to.

    Args:
        value: dictionaries, lists, tuples, texts, numbers, None, arrays and Raw.
        legacy: storages are referred to as before torch 1.6.
        parameters: arrays are written as Parameters and not as tensors.
    """
    storages = {}

    def write(value):
        if isinstance(value, np.ndarray):
            return write_tensor(value)
        if isinstance(value, Raw):
            return bytes(value)
        if isinstance(value, dict):
            items = b"".join(write(key) + write(item) for key, item in value.items())
            # The attribute that a state dict carries comes with BUILD.
            return _global("collections OrderedDict") + b")R(" + items + b"u}X\5\0\0\0_meta}sb"
        if isinstance(value, list | tuple):
            items = b"(" + b"".join(map(write, value))
            return b"]" + items + b"e" if isinstance(value, list) else items + b"t"
        return _atom(value)

    def write_tensor(array):
        key = str(len(storages))
        storages[key] = np.ascontiguousarray(array)
        place = b"(X\7\0\0\0storage" + _global(f"torch {STORAGES[array.dtype.name]}")
        place += _atom(key) + _atom("cpu") + _atom(array.size) + (b"Nt" if legacy else b"t") + b"Q"
        strides = np.cumprod([1, *array.shape[:0:-1]])[::-1].tolist() if array.ndim else ()
        shape = write(tuple(array.shape)) + write(tuple(strides))
        tensor = _global("torch._utils _rebuild_tensor_v2") + b"(" + place + b"K\0" + shape
        tensor += b"\x89" + write({}) + b"tR"
        if not parameters or array.dtype.kind in "ib":
            return tensor
        return (
            _global("torch._utils _rebuild_parameter") + b"(" + tensor + b"\x88" + write({}) + b"tR"
        )

    return write(value), storages


def safetensors(path, arrays, *, metadata=None):
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        entry = {"dtype": SAFETENSORS[array.dtype.name], "shape": list(array.shape)}
        header[name] = entry | {"data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def caffemodel(path, arrays, *, old=False, double=False):
    """``arrays``: {"conv1_1/0": kernel, "conv1_1/1": bias}.

    ``old``: V1LayerParameter, and blobs of four sizes; ``double``: double_data.
    """
    layers = {}
    for name, array in arrays.items():
        layers.setdefault(name.rsplit("/", 1)[0], []).append(array)
    net = _field(1, b"VGG_VOC0712_SSD_300x300_train")
    for name, blobs in layers.items():
        name_field, blob_field, net_field = (4, 6, 2) if old else (1, 7, 100)
        # A type: an enum in the old messages.
        layer = _field(name_field, name.encode()) + (
            b"\x28\4" if old else _field(2, b"Convolution")
        )
        layer += b"".join(_field(blob_field, _blob(blob, old, double)) for blob in blobs)
        net += _field(net_field, layer)
    path.write_bytes(net)


def keras_h5(path, arrays):
    """``arrays``: {"conv1_1/kernel:0": array}, as Keras 2 saves weights."""
    import h5py

    layers = {}
    for name, array in arrays.items():
        layers.setdefault(name.rsplit("/", 1)[0], {})[name] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"] = b"tensorflow"
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                group.create_dataset(name, data=array)


def _global(name):
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def _atom(value):
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    text = value.encode()
    return b"X" + struct.pack("<I", len(text)) + text


def _blob(array, old, double):
    if old:
        sizes = [1] * (4 - array.ndim) + list(array.shape)
        shape = b"".join(
            bytes([number << 3]) + _varint(size) for number, size in enumerate(sizes, 1)
        )
    else:
        shape = _field(7, _field(1, b"".join(map(_varint, array.shape))))
    data = array.astype("<f8" if double else "<f4").tobytes()
    return _field(8 if double else 5, data) + shape


def _field(number, content):
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value):
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])
