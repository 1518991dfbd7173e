"""CPU time of pieces of work, measured in interleaved rounds, and figures computed from it."""

import itertools
import pathlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# The process is idle once it has used less than a tenth of a core in eight looks in a row, and none
# of its threads is waiting for a core.
_LOOK_SECONDS = 0.01
_IDLE_LOOKS = 8
_IDLE_SHARE = 0.1


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds (user + system of the whole process) and wall milliseconds."""

    cpu_ms: float
    wall_ms: float

    def over(self, count: int) -> "Cost":
        """The cost of one of ``count`` equal things."""
        return Cost(self.cpu_ms / count, self.wall_ms / count)


def measure(works: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, list[Cost]]:
    """Measures pieces of work, which take turns.

    A cost runs from idle to idle, so that no work is charged for another: an iterator of
    ``tf.data`` stops when its buffers are full, and from full to full it makes exactly as many
    batches as are taken. (A buffer of AUTOTUNE does not: it grows whenever it was full and runs
    empty.) A slow phase of a shared machine affects every work of its round alike.

    Args:
        works: {name: function}, called in this order in each round.
        num_rounds: rounds that are counted, after one in which functions are traced and buffers
            grow.

    Returns:
        {name: the costs, one per round}.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for number in range(num_rounds + 1):
        for name, work in works.items():
            cost = _from_idle_to_idle(work)
            if number:
                costs[name].append(cost)
    return costs


def rate_figures(costs: Sequence[Cost]) -> dict[str, float]:
    """``images_per_s`` and ``cpu_ms_per_image`` from the costs of one image, one per round."""
    cpu, wall = [cost.cpu_ms for cost in costs], [cost.wall_ms for cost in costs]
    return {
        "images_per_s": 1000 / median(wall),
        "images_per_s_spread": spread(wall),
        "cpu_ms_per_image": median(cpu),
        "cpu_ms_spread": spread(cpu),
    }


def ratio_figures(costs: Sequence[Cost], bare_costs: Sequence[Cost]) -> dict[str, float]:
    """``ratio_to_decode``: CPU time relative to that of bare decoding in the same round."""
    # Per round rather than of the medians: noise that lasts for a round cancels out.
    ratios = [cost.cpu_ms / bare.cpu_ms for cost, bare in zip(costs, bare_costs)]
    return {"ratio_to_decode": median(ratios), "ratio_spread": spread(ratios)}


def part_figures(chains: Mapping[str, Sequence[Cost]]) -> dict[str, dict[str, float]]:
    """``part_cpu_ms_per_image`` and ``shares``, which sum to 1, of the parts of a piece of work.

    Args:
        chains: {part: costs of the work up to the end of this part}, in the order of the work; the
            last is the whole. The cost of a part is that of its chain minus that of the chain
            before, so on a noisy machine a cheap part may come out below 0.
    """
    ends = [median([cost.cpu_ms for cost in costs]) for costs in chains.values()]
    parts = [end - start for start, end in itertools.pairwise([0.0, *ends])]
    return {
        "part_cpu_ms_per_image": dict(zip(chains, parts)),
        "shares": {name: part / ends[-1] for name, part in zip(chains, parts)},
    }


def median(values: Sequence[float] | np.ndarray) -> float:
    """The median, which is what a figure over rounds is."""
    return float(np.median(values))


def spread(values: Sequence[float] | np.ndarray) -> float:
    """Half the interquartile range, as a share of the median."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float((high - low) / 2 / middle)


def wait_until_idle() -> tuple[float, float]:
    """Waits until this process does nothing.

    Returns:
        (CPU time, wall clock) in seconds when it was last seen to do something.
    """
    cpu, quiet = time.process_time(), 0
    busy_until = cpu, time.perf_counter()
    while quiet < _IDLE_LOOKS or _is_kept_waiting():
        start = time.perf_counter()
        time.sleep(_LOOK_SECONDS)
        now, wall = time.process_time(), time.perf_counter()
        quiet += 1
        # Not any CPU time at all: to look costs some, and threads wake up now and then.
        if now - cpu > _IDLE_SHARE * (wall - start):
            busy_until, quiet = (now, wall), 0
        cpu = now
    return busy_until


def _is_kept_waiting() -> bool:
    """Whether another thread could run if a busy machine had a core for it (Linux)."""
    own = str(threading.get_native_id())
    for task in pathlib.Path("/proc/self/task").glob("*"):
        try:
            # After the name in brackets, which may contain spaces (man 5 proc).
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # the thread has ended
            continue
        if state == "R" and task.name != own:
            return True
    return False


def _from_idle_to_idle(work: Callable[[], object]) -> Cost:
    # What the work before has started is not charged to this one.
    wait_until_idle()
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu_end, wall_end = wait_until_idle()
    return Cost(1000 * (cpu_end - cpu), 1000 * (wall_end - wall))
