"""A peer in its own process: what it says, its costs, and the line where there is none."""

import types

import pytest

from ssd_tfrecord.benchmark.peers import peer_process
from ssd_tfrecord.benchmark.peers.peer_process import Peer
from ssd_tfrecord.errors import InputError

PROGRAM = """
import json, sys
print(json.dumps({"torch": "1", "words": sys.argv[1:]}), flush=True)
for number, line in enumerate(sys.stdin):
    if line.startswith("inference"):
        sys.exit(3)
    print(json.dumps({"cpu_ms": 10.0 * int(line.split()[1]), "wall_ms": number}), flush=True)
"""


def start(tmp_path, monkeypatch, program=PROGRAM, **changes):
    path = tmp_path / "program.py"
    path.write_text(program)
    twin = types.SimpleNamespace(__file__=str(path), MODELS={"vgg16": ("ssd", 300)})
    monkeypatch.setitem(peer_process.PEERS, "torchvision", twin)
    given = {"backbone": "vgg16", "python": "", "batch_size": 2, "num_classes": 3}
    return peer_process.started("torchvision", **(given | changes))


def test_it_is_told_what_to_measure_and_waits_for_its_turns(tmp_path, monkeypatch):
    with start(tmp_path, monkeypatch) as peer:
        assert isinstance(peer, Peer)
        assert peer.facts == {"torch": "1", "words": ["vgg16", "2", "3"]}
        peer.run("step", 4)
        peer.run("step", 1)
        assert peer.costs == {
            "step": [{"cpu_ms": 40.0, "wall_ms": 0}, {"cpu_ms": 10.0, "wall_ms": 1}]
        }
        with pytest.raises(InputError, match="--peer: its process has ended"):
            peer.run("inference", 1)


@pytest.mark.parametrize(
    ("program", "changes", "line"),
    [
        (
            "import torch_that_is_not_there",
            {},
            "No module named 'torch_that_is_not_there')",
        ),
        (PROGRAM, {"python": "/no/python"}, "--peer_python=/no/python: No such file or directory;"),
        (PROGRAM, {"backbone": "resnet50"}, "has nothing like --backbone=resnet50; left out"),
    ],
    ids=["not installed", "no Python", "no such model"],
)
def test_one_line_says_why_there_is_none(tmp_path, monkeypatch, program, changes, line):
    with start(tmp_path, monkeypatch, program, **changes) as peer:
        assert isinstance(peer, str)
        assert line in peer and len(peer.splitlines()) == 1
