"""The loop of a run: steps and, each at its cadence, points, checkpoints and evaluations."""

import time
from collections.abc import Callable
from typing import Any

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.signals import StopRequest


class NonFiniteError(ArithmeticError):
    """The loss or the gradient of step ``step`` (from 1) is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class Loop:
    """Runs the steps of a run, and all that is due between them.

    Args:
        config: of the run.
        runner: runs the steps; its batches begin where the loop does.
        checkpoints: of the run.
        journal: told of every step and evaluation.
        rate_fn: number of finished steps -> learning rate of the next one.
        evaluate_fn: step -> (metrics of metrics.json without ``step``, loss); None: no evaluations.
        show_fn: called with the step after the first point and after each evaluation.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        runner: StepRunner,
        checkpoints: Checkpoints,
        journal: Journal,
        rate_fn: Callable[[int], float],
        evaluate_fn: Callable[[int], tuple[dict[str, Any], float]] | None,
        show_fn: Callable[[int], None],
    ) -> None:
        self._config = config
        self._runner = runner
        self._checkpoints = checkpoints
        self._journal = journal
        self._rate_fn = rate_fn
        self._evaluate_fn = evaluate_fn
        self._show_fn = show_fn
        self._saved: int | None = None

    def run(self, step: int, stop: StopRequest) -> int:
        """Runs until ``num_steps``, until patience is exhausted or until a stop is requested.

        All that is due at a step is done before the next one, and a checkpoint is saved at the end.

        Args:
            step: number of steps that are already finished.
            stop: the loop ends soon after it has received a signal.

        Returns:
            The number of finished steps.

        Raises:
            NonFiniteError: a loss or gradient is not finite; no checkpoint is saved then.
        """
        self._saved = step
        # Due already if the run was killed between a checkpoint and its evaluation.
        patient = self._evaluate_if_due(step, stop)
        first = True
        while step < self._config.num_steps and patient and not stop.signal:
            step = self._run_steps(step)
            if first and self._due(step, self._config.checkpoints.summary_every):
                self._show_fn(step)
                first = False
            if self._due(step, self._config.checkpoints.checkpoint_every) or stop.signal:
                self._save(step)
            patient = self._evaluate_if_due(step, stop)
        self._save(step)
        return step

    def _run_steps(self, step: int) -> int:
        start = time.perf_counter()
        result = self._runner.run(steps_until_due(step, self._config))
        seconds = time.perf_counter() - start
        step += result.num_steps
        if not result.finite:
            raise NonFiniteError(step)
        point = self._due(step, self._config.checkpoints.summary_every)
        # That of the last step: the schedule counts the steps finished before it.
        rate = self._rate_fn(step - 1)
        self._journal.steps(step, result, seconds=seconds, rate=rate, point=point)
        return step

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self._config.num_steps

    def _save(self, step: int) -> None:
        if step != self._saved:
            self._checkpoints.save(step)
            self._saved = step

    def _evaluate_if_due(self, step: int, stop: StopRequest) -> bool:
        """Evaluates ``step`` if due and not yet done; returns False if patience is exhausted."""
        options = self._config.checkpoints
        history = self._journal.history
        due = step > 0 and self._due(step, options.eval_every)
        if self._evaluate_fn and due and not stop.signal and not history.evaluated(step):
            self._save(step)
            metrics, loss = self._evaluate_fn(step)
            # Before the row in the history. With the row, the evaluation counts as done; a run that
            # is killed before the row is written evaluates again.
            if history.improves(options.best_metric, metrics[options.best_metric]):
                self._checkpoints.save_best(step)
            self._journal.evaluation(step, metrics, loss)
            self._show_fn(step)
        best = history.best(options.best_metric)
        if not options.patience or best is None or best[1] < options.patience:
            return True
        self._journal.say(
            f"stopping: {options.best_metric} has not improved since step {best[0]} (evaluations "
            f"since then: {best[1]}, --patience={options.patience})"
        )
        return False


def steps_until_due(step: int, config: TrainConfig) -> int:
    """The number of steps to run in the next call: ``steps_per_loop``, or fewer to meet a cadence.

    Args:
        step: number of finished steps.
        config: of the run.
    """
    options = config.checkpoints
    cadences = [options.checkpoint_every, options.summary_every]
    cadences += [options.eval_every] if config.eval_records else []
    until_due = [every - step % every for every in cadences]
    return min(config.steps_per_loop, config.num_steps - step, *until_due)
