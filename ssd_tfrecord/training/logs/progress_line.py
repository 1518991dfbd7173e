"""How fast a run goes and how it stands: means since the last point, and one line for people."""

import datetime
from collections.abc import Mapping

import psutil


class Window:
    """Means over the steps since it was last cleared.

    The time of the very first call is left out: it holds the tracing and compiling of the graph.
    """

    def __init__(self, global_batch_size: int, num_replicas: int):
        self._batch = global_batch_size
        self._replicas = num_replicas
        self._warm = False
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self._steps, self._timed_steps = 0, 0
        self._seconds, self._waited, self._sums = 0.0, 0.0, {}

    def add(self, result, seconds: float) -> None:
        """Takes in a ``RunResult`` that took ``seconds``."""
        self._steps += result.num_steps
        for name, value in result.sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self._warm:
            self._timed_steps += result.num_steps
            self._seconds += seconds
            self._waited += result.waited
        self._warm = True

    def means(self) -> dict[str, float]:
        """Each metric; ``images_per_s``, its share of a replica, and ``data_wait`` in [0, 1].

        The last three are missing until a call has been timed.
        """
        means = {name: value / max(1, self._steps) for name, value in self._sums.items()}
        if not self._seconds:
            return means
        rate = self._timed_steps * self._batch / self._seconds
        return means | {
            "images_per_s": rate,
            "images_per_s_per_replica": rate / self._replicas,
            "data_wait": min(1.0, self._waited / self._seconds),
        }


class ProgressLine:
    """How a run stands, in a line."""

    def __init__(self, num_steps: int, global_batch_size: int, metric: str):
        self._num_steps = num_steps
        self._batch = global_batch_size
        self._metric = metric

    def text(self, step: int, means: Mapping[str, float], value: float | None) -> str:
        """The line of a ``Window``'s means; ``value`` is the metric's at the last evaluation."""
        text = f"step {step}/{self._num_steps}  loss {means['loss']:.4f}"
        if rate := means.get("images_per_s"):
            seconds = round((self._num_steps - step) * self._batch / rate)
            text += (
                f"  {rate:.1f} images/s  data wait {means['data_wait']:.0%}"
                f"  ETA {datetime.timedelta(seconds=seconds)}"
            )
        text += f"  lr {means['learning_rate']:.3g}"
        return text if value is None else f"{text}  {self._metric} {value:.4f}"


def host_rss_mb() -> float:
    """Resident memory of this process in MB."""
    return psutil.Process().memory_info().rss / 1e6
