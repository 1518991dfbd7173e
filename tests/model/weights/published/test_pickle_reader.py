"""The machine for torch's pickles: what it reads, and the known ways of running code from one."""

import os
import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import pickle_reader
from ssd_tfrecord.model.weights.published.pickle_reader import MAX_BYTES, unpickle
from ssd_tfrecord.model.weights.published.torch_tensors import OPAQUE, Storage, Tensor

STATE = {"model": {"vgg.0.weight": np.zeros((4, 3), "f4")}, "epoch": 3, "lr": [0.5, None, True]}
MARK, STOP, TEXT = b"(", b".", b"X\1\0\0\0a"


class Reduces:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def read(data):
    return unpickle(data, 0, InputError)


def name(module, text):
    return b"c" + module.encode() + b"\n" + text.encode() + b"\n"


def called(module, text, arguments=b"X\5\0\0\0touch\x85"):
    return name(module, text) + arguments + b"R."


def stacked(module, text):
    """The same in protocol 4, where a name may have dots."""
    texts = b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, text))
    return b"\x80\4" + texts + b"\x93)R."


TENSOR_V2 = name("torch._utils", "_rebuild_tensor_v2")
STORAGE = b"(X\7\0\0\0storageEX\1\0\0\0" + b"0X\3\0\0\0cpuK\4tQ"
STORAGE = STORAGE.replace(b"E", name("torch", "FloatStorage"), 1)

# What is tried, and what is said of it.
ATTACKS = {
    "reduce os.system": (pickle.dumps(Reduces(os.system, "touch"), 2), "asks for"),
    "reduce os.system, protocol 4": (pickle.dumps(Reduces(os.system, "touch"), 4), "asks for"),
    "reduce os.system, protocol 0": (pickle.dumps(Reduces(os.system, "touch"), 0), "opcode|asks"),
    "reduce eval": (pickle.dumps(Reduces(eval, "1"), 2), "asks for '__builtin__.eval'"),
    "reduce exec": (called("builtins", "exec"), "asks for 'builtins.exec'"),
    "nested in a state dict": (
        b"\x80\2}X\1\0\0\0w" + called("posix", "system")[:-1] + b"s.",
        "asks for 'posix.system'",
    ),
    "getattr": (called("builtins", "getattr"), "asks for 'builtins.getattr'"),
    "a dotted attribute of a known name": (
        stacked("torch._utils", "_rebuild_tensor_v2.__globals__"),
        "asks for 'torch._utils._rebuild_tensor_v2.__globals__'",
    ),
    "a dotted attribute of a known class": (
        stacked("collections", "OrderedDict.__init__.__globals__"),
        "asks for",
    ),
    "a module of the reader's own": (
        called("ssd_tfrecord.model.weights.published.weight_files", "os.system"),
        "asks for",
    ),
    "copyreg": (called("copyreg", "_reconstructor"), "asks for 'copyreg._reconstructor'"),
    "copy_reg of Python 2": (called("copy_reg", "_reconstructor"), "asks for"),
    "pickle in a pickle": (called("_pickle", "loads"), "asks for '_pickle.loads'"),
    "numpy.load": (called("numpy", "load"), "asks for 'numpy.load'"),
    "NumPy's arrays": (called("numpy.core.multiarray", "_reconstruct"), "asks for"),
    "torch.load": (called("torch", "load"), "asks for 'torch.load'"),
    "torch's storages from bytes": (called("torch.storage", "_load_from_bytes"), "asks for"),
    "torch.hub": (called("torch.hub", "load"), "asks for 'torch.hub.load'"),
    "torch's numpy tensors": (called("torch._utils", "_rebuild_device_tensor_from_numpy"), "asks"),
    "importlib": (called("importlib", "import_module"), "asks for 'importlib.import_module'"),
    "a class of a model": (name("torchvision.models", "SSD") + b")\x81}b.", "asks for"),
    "NEWOBJ": (name("subprocess", "Popen") + b")\x81.", "asks for 'subprocess.Popen'"),
    "NEWOBJ_EX": (name("collections", "OrderedDict") + b")}\x92.", "opcode"),
    "INST": (b"(X\5\0\0\0touchios\nsystem\n.", "opcode b'i'"),
    "OBJ": (MARK + name("collections", "OrderedDict") + b"o.", "opcode b'o'"),
    "EXT1": (b"\x82\1)R.", "opcode"),
    "EXT2": (b"\x83\1\0)R.", "opcode"),
    "EXT4": (b"\x84\1\0\0\0)R.", "opcode"),
    "PERSID": (b"Pmodule\n.", "opcode b'P'"),
    "a persistent module": (b"X\6\0\0\0module\x85Q.", "whole pickled model"),
    "a persistent text": (b"X\6\0\0\0moduleQ.", "whole pickled model"),
    "a persistent number": (b"K\1Q.", "damaged"),
    "BUILD of a name": (name("collections", "OrderedDict") + b"}b.", "sets the state"),
    "BUILD of a storage": (STORAGE + b"}b.", "sets the state"),
    "BUILD of a tensor": (
        TENSOR_V2 + b"(" + STORAGE + b"K\0K\2\x85K\1\x85\x89NtR}b.",
        "sets the state",
    ),
    "call of a storage type": (called("torch", "FloatStorage"), "calls what is no function"),
    "call of a text": (TEXT + b")R.", "calls what is no function"),
    "call of a call": (name("torch", "Size") + b")R)R.", "calls what is no function"),
    "call of a dictionary": (name("collections", "OrderedDict") + b")R)R.", "calls what is"),
    "call without a tuple": (name("collections", "OrderedDict") + b"]R.", "calls what is"),
}


@pytest.mark.parametrize("how", ATTACKS)
def test_a_known_way_to_run_code_is_refused(how):
    data, said = ATTACKS[how]
    with pytest.raises(InputError, match=said) as error:
        read(data)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 300


def test_no_known_way_imports_or_calls_anything(tmp_path):
    """In a process of its own, as an audit hook cannot be taken away."""
    for index, (data, _) in enumerate(ATTACKS.values()):
        (tmp_path / f"{index}").write_bytes(data)
    program = f"""
import pathlib, sys
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published.pickle_reader import unpickle
files = [path.read_bytes() for path in pathlib.Path({str(tmp_path)!r}).iterdir()]
before, events = set(sys.modules), []
sys.addaudithook(lambda event, arguments: events.append((event, arguments)))
for data in files:
    try:
        unpickle(data, 0, InputError)
    except InputError:
        pass
print(len(files), [event for event in events if event[0] != "object.__getattr__"])
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == [f"{len(ATTACKS)} []", "[]"], done.stderr


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values_are_read_as_python_wrote_them(protocol):
    value = {
        "numbers": [0, 255, 256, 65536, -1, 2**31, -(2**70), 1.5, True, False, None],
        "texts": ("", "a", "ü" * 300, b"bytes" if protocol > 2 else ""),
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "nested": {"a": {"b": [[[]]]}},
    }
    value["again"] = value["numbers"]
    assert read(pickle.dumps(value, protocol)).value == value


def test_a_state_dict_is_read():
    body, _ = weight_writers.pickled(STATE)
    got = read(b"\x80\2" + body + b".")
    storage = Storage("0", "f4", 4, 12, 0, 12)
    weights = {"vgg.0.weight": Tensor(storage, 0, (4, 3), (3, 1))}
    assert got.value == {"model": weights, "epoch": 3, "lr": [0.5, None, True]}
    assert (got.end, got.storages) == (len(body) + 3, {"0": storage})


def test_texts_and_dictionaries_of_python_2_are_read():
    pairs = b"](](U\1aK\1e](U\1bK\2ee\x85R."
    assert read(b"\x80\2" + name("collections", "OrderedDict") + pairs).value == {"a": 1, "b": 2}


def test_the_view_of_a_storage_is_a_part_of_it():
    place = b"(X\7\0\0\0storage" + name("torch.cuda", "HalfStorage")
    view = b"(X\1\0\0\x003K\2K\3t"
    data = place + b"X\1\0\0\x007X\3\0\0\0cpuK\x08" + view + b"tQ."
    assert read(data).value == Storage("7", "f2", 2, 8, 2, 3)
    with pytest.raises(InputError, match="storage '7' is a view beyond its end"):
        read(data.replace(b"K\2K\3t", b"K\2K\7t"))


def test_what_training_leaves_beside_the_weights_is_passed_over():
    import argparse
    import collections

    left = {
        "args": argparse.Namespace(lr=0.1),
        "milestones": collections.Counter([1, 1]),
        "lists": collections.defaultdict(list, a=[1]),
        "score": np.float64(0.5),
        "bytes": b"\xff\0",
        "epoch": 7,
    }
    data = pickle.dumps(left, 2)
    with pytest.raises(InputError, match=r"asks for '__builtin__\.list'"):
        read(data)
    del left["lists"]
    expected = dict.fromkeys(("args", "milestones", "score", "bytes"), OPAQUE)
    assert read(pickle.dumps(left, 2)).value == {**expected, "epoch": 7}


def test_only_entries_with_a_text_as_key_are_kept():
    assert read(pickle.dumps({1: 2, "a": 3, (4,): 5, None: 6}, 2)).value == {"a": 3}


TENSORS = {
    "beyond the end": (b"K\1K\4\x85K\1\x85", "does not fit its storage of 4"),
    "strides beyond the end": (b"K\0K\2\x85K\4\x85", "does not fit its storage of 4"),
    "expanded without end": (b"K\0K\xff\x85K\0\x85", "does not fit its storage of 4"),
    "more elements than there are": (b"K\0K\4K\2\x86K\1K\0\x86", "does not fit its storage of 4"),
    "a negative start": (b"J\xff\xff\xff\xffK\4\x85K\1\x85", "no sizes or strides"),
    "a negative size": (b"K\0J\xff\xff\xff\xff\x85K\1\x85", "no sizes or strides"),
    "a negative stride": (b"K\3K\4\x85J\xff\xff\xff\xff\x85", "no sizes or strides"),
    "a text as size": (b"K\0X\1\0\0\0a\x85K\1\x85", "no sizes or strides"),
    "sizes without strides": (b"K\0K\4\x85)", "no sizes or strides"),
    "a list as sizes": (b"K\0]K\1\x85", "no sizes or strides"),
    "nine dimensions": (b"K\0(" + b"K\1" * 9 + b"t(" + b"K\1" * 9 + b"t", "no sizes or strides"),
    "a huge size": (b"K\0\x8a\x09" + b"\xff" * 8 + b"\0\x85K\1\x85", "no sizes or strides"),
}


@pytest.mark.parametrize("what", TENSORS)
def test_a_tensor_outside_of_its_storage_is_refused(what):
    place, said = TENSORS[what]
    with pytest.raises(InputError, match=said):
        read(TENSOR_V2 + b"(" + STORAGE + place + b"\x89NtR.")


def test_a_view_that_leaves_gaps_is_read():
    tensor = read(TENSOR_V2 + b"(" + STORAGE + b"K\1K\2\x85K\2\x85\x89NtR.").value
    assert (tensor.start, tensor.shape, tensor.strides) == (1, (2,), (2,))


DAMAGES = {
    "empty": (b"", "cut"),
    "no STOP": (b"\x80\2}", "cut"),
    "nothing to stop with": (b"\x80\2.", "damaged before byte 3"),
    "a memo that is not there": (b"h\5.", "damaged"),
    "no mark": (b"K\1t.", "damaged"),
    "pop beyond a mark": (b"K\1(\x85.", "damaged"),
    "an entry of a list": (b"]K\1K\2s.", "damaged"),
    "an element of a dictionary": (b"}K\1a.", "damaged"),
    "a text that is not UTF-8": (b"X\1\0\0\0\xff.", "damaged"),
    "a name without end": (b"ctorch", "damaged"),
    "a text beyond the end": (b"X\xff\xff\xff\xffa.", "cut"),
    "a FRAME beyond the end": (b"\x80\4\x95" + b"\xff" * 8 + b"N.", None),
    "a memo index of 2^32": (b"Nr\xff\xff\xff\xff.", None),
    "BINUNICODE8": (b"\x8d" + b"\xff" * 8 + b"a.", "opcode"),
    "BYTEARRAY8": (b"\x96" + b"\xff" * 8 + b"a.", "opcode"),
    "LONG4": (b"\x8b\xff\xff\xff\x7f\1.", "opcode"),
    "LONG1 beyond the end": (b"\x8a\xff\1.", "cut"),
    "a storage of two sizes": (
        STORAGE + STORAGE.replace(b"K\4", b"K\5") + b".",
        "storage '0' has two sizes",
    ),
    "a storage of no type": (
        STORAGE.replace(name("torch", "FloatStorage"), name("torch", "Size")) + b".",
        "damaged",
    ),
}
PAIRS = b"](" + (TEXT + b"K\1\x86") * 2_000 + b"eq\0"
BOMBS = {
    "dictionaries": b"}" * 10**6,
    "lists": b"]" * 10**6,
    "marks": b"(" * 10**6,
    "storages": b"N" + STORAGE + b"\x86q\0" + (STORAGE + b"h\0\x86") * 10**4,
    "memo": b"N" + b"".join(b"r" + i.to_bytes(4, "little") for i in range(10**6)),
    "tuples": b")" + b"\x85" * 10**6,
    "lists in lists": b"]q\0" + b"(h\0e" * 10**5,
    "entries": b"}" + b"".join(b"X\4\0\0\0%04xNs" % i for i in range(2**16)),
    "dictionaries of the same pairs": (
        PAIRS
        + (name("collections", "OrderedDict") + b"q\1h\0\x85R")
        + b"h\1h\0\x85R" * 10_000
        + STOP
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_pickle_is_refused(what):
    data, said = DAMAGES[what]
    if said is None:
        assert read(data).value is None
        return
    with pytest.raises(InputError, match=said):
        read(data)


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_takes_little_memory_and_time(what, monkeypatch):
    # 250,000 take the same for each, but seconds while memory is traced.
    limit = 10_000
    monkeypatch.setattr(pickle_reader, "_MAX_OPERATIONS", limit)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="more than 10000 operations"):
            read(BOMBS[what][:MAX_BYTES])
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 150 * limit + 2 * MAX_BYTES


def test_deep_nesting_is_read_and_freed():
    value = read(b")" + b"\x85" * 30_000 + b"](" + b"]" * 30_000 + b"a" * 29_999 + b"t\x86.").value
    assert len(value) == 2


def test_a_tuple_of_tuples_is_no_key():
    """Its hash would take 2^999 steps."""
    assert read(b"}" + b")" + b"q\0h\0\x86" * 999 + b"K\1s.").value == {}
