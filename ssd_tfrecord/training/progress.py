"""How fast a run goes and how it stands: means since the last point, and one line for people."""

import datetime
import os
import pathlib
import sys


class Window:
    """Means over the steps since it was last cleared."""

    def __init__(self, global_batch_size: int, num_replicas: int):
        self._batch = global_batch_size
        self._replicas = num_replicas
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self.num_steps, self.seconds, self._waited, self._sums = 0, 0.0, 0.0, {}

    def add(self, result, seconds: float) -> None:
        """Takes in a ``RunResult`` that took ``seconds``."""
        self.num_steps += result.num_steps
        self.seconds += seconds
        self._waited += result.waited
        for name, value in result.sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Metrics, ``images_per_s``, its share of a replica, and ``data_wait`` in [0, 1]."""
        rate = self.num_steps * self._batch / max(self.seconds, 1e-9)
        metrics = {name: value / max(1, self.num_steps) for name, value in self._sums.items()}
        return metrics | {
            "images_per_s": rate,
            "images_per_s_per_replica": rate / self._replicas,
            "data_wait": min(1.0, self._waited / max(self.seconds, 1e-9)),
        }


class ProgressLine:
    """One line that is written over on a terminal; elsewhere, a line at each point of the run."""

    def __init__(self, num_steps: int, metric: str, stream=None):
        self._num_steps = num_steps
        self._metric = metric
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._width = 0

    def show(self, step: int, means: dict, *, seconds_per_step, value, point: bool) -> None:
        """Writes the line; ``value`` is the metric of the last evaluation or None."""
        if not (self._live or point):
            return
        left = datetime.timedelta(seconds=round((self._num_steps - step) * seconds_per_step))
        text = (
            f"step {step}/{self._num_steps}  loss {means['loss']:.4f}  "
            f"{means['images_per_s']:.1f} images/s  data wait {means['data_wait']:.0%}  "
            f"lr {means['learning_rate']:.3g}  ETA {left}"
        )
        text += "" if value is None else f"  {self._metric} {value:.4f}"
        end = "\r" if self._live else "\n"
        self._stream.write(text.ljust(self._width) + end)
        self._stream.flush()
        self._width = len(text) if self._live else 0

    def say(self, text: str) -> None:
        """Writes ``text`` on lines of its own."""
        if self._width:
            self._stream.write("\n")
            self._width = 0
        self._stream.write(text + "\n")
        self._stream.flush()


def host_rss_mb() -> float:
    """Resident memory of this process in MB; 0 where the system has no /proc."""
    statm = pathlib.Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
