"""Speed and progress of a run: means since the last point, and one line for people."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from ssd_tfrecord.training.runner import RunResult


class Window:
    """Means over the steps since it was last cleared.

    The time of the very first call is left out: it includes tracing and compiling the graph.

    Args:
        global_batch_size: number of images per step.
        num_replicas: number of replicas.
    """

    def __init__(self, global_batch_size: int, num_replicas: int) -> None:
        self._batch = global_batch_size
        self._replicas = num_replicas
        self._warm = False
        self.clear()

    def clear(self) -> None:
        """Forgets all steps."""
        self._counted, self._timed_steps = 0, 0
        self._seconds, self._waited = 0.0, 0.0
        self._sums: dict[str, float] = {}
        self._last: dict[str, float] = {}

    def add(self, result: RunResult, seconds: float) -> None:
        """Adds the steps of a call that took ``seconds``."""
        # Steps that are not finite were left out, and added nothing to the sums.
        self._counted += result.num_steps - len(result.not_finite)
        for name, value in result.sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._last = dict(result.last)
        if self._warm:
            self._timed_steps += result.num_steps
            self._seconds += seconds
            self._waited += result.waited
        self._warm = True

    def means(self) -> dict[str, float]:
        """The mean of each metric, and how fast the steps were.

        Returns:
            The metrics by name, over the steps that were not left out (--skip_nonfinite), and those
            of which the last step's counts; ``skipped_steps`` is their number, not a mean;
            ``images_per_s``, ``images_per_s_per_replica`` and ``data_wait``, the share of time in
            [0, 1] that the steps waited for data. The means are missing if all steps were left
            out, the last three until a call has been timed.
        """
        sums = self._sums if self._counted else {}
        means = {name: value / self._counted for name, value in sums.items()} | self._last
        if "skipped_steps" in self._sums:
            means["skipped_steps"] = self._sums["skipped_steps"]
        if not self._seconds:
            return means
        rate = self._timed_steps * self._batch / self._seconds
        return means | {
            "images_per_s": rate,
            "images_per_s_per_replica": rate / self._replicas,
            # The graph's clock measured the wait, the host's the call.
            "data_wait": min(1.0, self._waited / self._seconds),
        }


class ProgressLine:
    """The progress of a run in one line.

    Args:
        num_steps: number of steps of the run.
        global_batch_size: number of images per step.
        metric: name of the metric to show.
    """

    def __init__(self, num_steps: int, global_batch_size: int, metric: str) -> None:
        self._num_steps = num_steps
        self._batch = global_batch_size
        self._metric = metric

    def text(self, step: int, means: Mapping[str, float], value: float | None) -> str:
        """The line, without a line break.

        Args:
            step: number of finished steps.
            means: of a ``Window``, and ``learning_rate``.
            value: the metric at the last evaluation, if any.
        """
        text = f"step {step}/{self._num_steps}  loss {_loss(means.get('loss'))}"
        if rate := means.get("images_per_s"):
            seconds = round((self._num_steps - step) * self._batch / rate)
            text += (
                f"  {rate:.1f} images/s  data wait {means['data_wait']:.0%}"
                f"  ETA {datetime.timedelta(seconds=seconds)}"
            )
        text += f"  lr {means['learning_rate']:.3g}"
        if skipped := means.get("skipped_steps"):
            text += f"  skipped steps {skipped:.0f}"
            # 1 where the loss is not scaled.
            if (scale := means.get("loss_scale", 1.0)) != 1.0:
                text += f"  loss scale {scale:g}"
        return text if value is None else f"{text}  {self._metric} {value:.4f}"


def host_rss_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes)."""
    return psutil.Process().memory_info().rss / 1e6


def _loss(value: float | None) -> str:
    if value is None:
        return "n/a"
    # A run that diverges has no use for thirty digits.
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"
