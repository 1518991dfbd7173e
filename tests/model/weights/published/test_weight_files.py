"""Files of weights told apart by their bytes, and damaged ones of each kind.

``pytest -m soak`` damages 1,000 of each kind, the quick form 60.
"""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import weight_writers

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import weight_files
from ssd_tfrecord.model.weights.published.bounded_file import BoundedFile

WRITERS = {
    "torch": weight_writers.torch_zip,
    "torch_legacy": weight_writers.torch_legacy,
    "safetensors": weight_writers.safetensors,
    "caffe": weight_writers.caffemodel,
    "keras_h5": weight_writers.keras_h5,
}
RANDOM = np.random.default_rng(0)
ARRAYS = {
    f"conv{layer}/{index}": RANDOM.normal(size=shape).astype(np.float32)
    for layer in range(6)
    for index, shape in enumerate([(16, 8, 3, 3), (16,)])
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_kind_is_that_of_the_bytes_whatever_the_name(kind, tmp_path):
    path = tmp_path / "weights.txt"
    WRITERS[kind](path, ARRAYS)
    assert weight_files.kind_of(path) == kind
    got = weight_files.read(str(path))
    assert got.kind == kind and got.arrays.keys() == ARRAYS.keys() and len(got.arrays) == 12
    for name, array in ARRAYS.items():
        assert got.arrays[name].tobytes() == array.tobytes()
        assert (got.arrays[name].shape, got.arrays[name].dtype) == (array.shape, np.float32)
        assert not got.arrays[name].flags.writeable


OTHERS = {
    "empty": (b"", "empty"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "a web page": (b"\n<!DOCTYPE html><html>", "a web page and not the file"),
    "another web page": (b"<HTML>", "a web page and not the file"),
    "torch's tar": (b"sys_info" + bytes(600), "a tar archive, as torch wrote until 2017"),
    "a bare pickle": (b"\x80\2}.", "a pickle that torch.save did not write"),
    "a short zip": (b"PK\3\4", "a zip archive without its end"),
    "text": (b"weights", "none of the kinds"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_none_of_the_kinds_is_named(what, tmp_path):
    data, said = OTHERS[what]
    path = tmp_path / "a.pth"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as error:
        weight_files.read(path)
    assert str(error.value).startswith(f"{path}: {said[:5]}")
    must = "; must be weights of torch (.pth), .safetensors, .caffemodel or Keras .h5"
    assert str(error.value).endswith(must)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, said in {"none": "no such file", "": "not a file", "pipe": "not a file"}.items():
        with pytest.raises(InputError, match=f"{said}; must be"):
            weight_files.kind_of(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        weight_files.kind_of("a\0b")


def test_arrays_together_hold_no_more_than_the_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(np.arange(10, dtype=np.float32).tobytes())
    with BoundedFile(path) as file:
        assert file.array_at(4, "<f4", 5, "one").tolist() == [1, 2, 3, 4, 5]
        with pytest.raises(InputError, match=r"two goes beyond the end of the file \(40 bytes\)"):
            file.array_at(4, "<f4", 10**12, "two")
        with pytest.raises(InputError, match="three goes beyond the end"):
            file.bytes_at(-1, 2, "three")
        with pytest.raises(InputError, match="four: its arrays claim more bytes than the file has"):
            file.array_at(0, "<f4", 6, "four")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes(10**6))
    with BoundedFile(path) as file:
        path.write_bytes(b"short")
        for read in (file.bytes_at, lambda at, count, what: file.array_at(at, "u1", count, what)):
            with pytest.raises(InputError, match="it: the file became shorter while it was read"):
                read(9 * 10**5, 8, "it")


# Reads each file of a folder under an audit hook. A crash of h5py's library would end it.
PROGRAM = """
import json, pathlib, sys, tracemalloc
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.model.weights.published import weight_files
folder = pathlib.Path(sys.argv[1])
weight_files.read(folder / "whole")
modules, events, results = set(sys.modules), [], []
def hook(event, arguments):
    harmless = event == "open" and str(arguments[0]).startswith(str(folder))
    if not harmless and not event.startswith(("object.", "builtins.id")):
        events.append((event, str(arguments)[:200]))
paths = sorted(folder.iterdir())
sys.addaudithook(hook)
tracemalloc.start()
for path in paths:
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        file = weight_files.read(path)
        said = "read %d" % sum(array.size for array in file.arrays.values())
        file = None
    except InputError as error:
        said = str(error)
    peak = tracemalloc.get_traced_memory()[1] - before
    results.append((path.name, said, peak, path.stat().st_size))
tracemalloc.stop()
events = list(events)
print(json.dumps((results, events, sorted(set(sys.modules) - modules))))
"""


def damaged(data, places, random_state):
    """``data`` with one to eight changes, most of them at ``places``: what is no weight."""
    bent = bytearray(data)
    for _ in range(random_state.choice([1, 1, 1, 2, 8])):
        somewhere = random_state.random() < 0.1
        at = random_state.randrange(len(bent)) if somewhere else random_state.choice(places)
        length = random_state.choice([1, 2, 4, 8, 100])
        other = random_state.choice(places)
        new = random_state.choice(
            [
                b"\xff" * min(length, 8),
                bytes(min(length, 8)),
                b"",
                random_state.randbytes(min(length, 8)),
                bytes([data[at % len(data)] ^ 1 << random_state.randrange(8)]),
                data[other : other + length],
            ]
        )
        replaced = random_state.choice([0, len(new), len(new), length])
        bent[at : at + replaced] = new
    if random_state.random() < 0.05:
        del bent[random_state.randrange(len(bent)) :]
    return bytes(bent)


def damage(path, kind, count):
    """Writes ``count`` damaged files beside ``path``, which holds ARRAYS."""
    state = random.Random(f"{kind} {count}")
    data = path.read_bytes()
    is_weight = np.zeros(len(data), bool)
    for array in ARRAYS.values():
        at = data.index(array.tobytes())
        is_weight[at : at + array.nbytes] = True
    places = np.flatnonzero(~is_weight).tolist()
    for index in range(count):
        (path.parent / f"{index}").write_bytes(damaged(data, places, state))


def check_damaged(folder, kind, count):
    folder.mkdir()
    WRITERS[kind](folder / "whole", ARRAYS)
    damage(folder / "whole", kind, count)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results, events, modules = json.loads(done.stdout)
    assert (events, modules, len(results)) == ([], [], count + 1)
    refused = 0
    for name, said, peak, size in results:
        # What describes the arrays comes in beside them.
        assert peak < 2 * size + 2**18, (name, peak, size)
        if not said.startswith("read "):
            refused += 1
            assert said.startswith(f"{folder / name}: ") and "; must be " in said
            assert len(said.splitlines()) == 1 and len(said) < 500
    assert count // 3 < refused < count


@pytest.mark.parametrize("kind", WRITERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind, tmp_path):
    check_damaged(tmp_path / "damaged", kind, 60)


@pytest.mark.soak
@pytest.mark.parametrize("kind", WRITERS)
def test_a_thousand_damaged_files_are_read_or_refused(kind, tmp_path):
    check_damaged(tmp_path / "damaged", kind, 1000)


def test_importing_the_readers_brings_in_neither_tensorflow_nor_torch():
    program = (
        "import sys; from ssd_tfrecord.model.weights.published import weight_files;"
        "print(sorted({'tensorflow', 'torch', 'pickle', 'zipfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = done.stdout.decode()
    assert "tensorflow" not in loaded and "torch" not in loaded
