"""A peer's step in a process of its own, measured there in CPU time, in turns with ours."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from ssd_tfrecord.benchmark.peers import torchvision_step
from ssd_tfrecord.errors import InputError

PEERS = {"torchvision": torchvision_step}


class Peer:
    """A peer that waits for its turn.

    ``facts`` is what it says of itself; ``costs`` are {work: [{cpu_ms, wall_ms} of each turn]}.
    """

    def __init__(self, process: "subprocess.Popen[str]", facts: dict[str, Any]) -> None:
        self.facts = facts
        self.costs: dict[str, list[dict[str, float]]] = {}
        self._process = process

    def run(self, work: str, count: int) -> None:
        """Lets it do ``count`` times its ``step`` or ``inference``; adds a cost.

        Raises:
            InputError: it has ended.
        """
        found = _answer(self._process, f"{work} {count}\n")
        if found is None:
            raise InputError(f"--peer: its process has ended with {self._process.poll()}")
        self.costs.setdefault(work, []).append(found)


@contextlib.contextmanager
def started(
    name: str, backbone: str, *, python: str, batch_size: int, num_classes: int
) -> Iterator[Peer | str]:
    """Starts a peer, which is ready then and does nothing until its turn; ends it.

    Args:
        name: a key of ``PEERS``.
        backbone: of ours, to which the peer's is the nearest.
        python: the Python that has the peer's packages; empty: this one.
        batch_size: images of a batch.
        num_classes: number of classes without the background.

    Yields:
        The peer, or a line that says why there is none.
    """
    program = PEERS[name]
    if backbone not in program.MODELS:
        yield f"--peer={name}: has nothing like --backbone={backbone}; left out"
        return
    words = [python or sys.executable, str(pathlib.Path(str(program.__file__)))]
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(
                subprocess.Popen(
                    [*words, backbone, str(batch_size), str(num_classes)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    # Threads that spin while they wait would count as the peer's CPU time.
                    env={"OMP_WAIT_POLICY": "passive", **os.environ},
                )
            )
        except OSError as error:
            yield f"--peer_python={python}: {error.strerror}; --peer={name} is left out"
            return
        # Leaving its block, Popen closes the pipes, at which the peer ends, and waits for it.
        facts = _answer(process)
        if facts is None:
            why = (process.stderr.read() if process.stderr else "").strip().splitlines()
            yield f"--peer={name}: not usable in {words[0]} ({why[-1] if why else 'no word'})"
            return
        yield Peer(process, facts)


def _answer(process: "subprocess.Popen[str]", request: str = "") -> dict[str, Any] | None:
    """What the process says; None if it has ended."""
    try:
        if request and process.stdin:
            process.stdin.write(request)
            process.stdin.flush()
        line = process.stdout.readline() if process.stdout else ""
    except BrokenPipeError:
        return None
    return json.loads(line) if line else None
