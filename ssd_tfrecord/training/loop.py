"""The loop of a run: steps, and at their cadences points, checkpoints and evaluations."""

import time

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.runner import StepRunner
from ssd_tfrecord.training.signals import StopRequest


class NonFiniteError(ArithmeticError):
    """Step ``step`` (from 1) met a loss or gradient that is not finite."""

    def __init__(self, step):
        super().__init__(step)
        self.step = step


class Loop:
    """Runs steps from ``step`` on.

    Args:
        runner: runs the steps; its batches begin after ``step`` finished ones.
        rate_fn: number of finished steps -> learning rate of the next.
        evaluate_fn: step -> (metrics of metrics.json but ``step``, loss), or None.
        show_fn: step, called after the first point and after each evaluation.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        runner: StepRunner,
        checkpoints: Checkpoints,
        journal: Journal,
        rate_fn,
        evaluate_fn,
        show_fn,
    ):
        self._config = config
        self._runner = runner
        self._checkpoints = checkpoints
        self._journal = journal
        self._rate_fn = rate_fn
        self._evaluate_fn = evaluate_fn
        self._show_fn = show_fn
        self._saved = None

    def run(self, step: int, stop: StopRequest) -> int:
        """Runs until ``num_steps``, until patience ends or until ``stop``; the last step.

        All that is due at a step is done before the next, and a checkpoint is saved at the end.
        Raises ``NonFiniteError``; no checkpoint is saved then.
        """
        self._saved = step
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

    def _run_steps(self, step):
        start = time.perf_counter()
        result = self._runner.run(steps_until_due(step, self._config))
        seconds = time.perf_counter() - start
        step += result.num_steps
        if not result.finite:
            raise NonFiniteError(step)
        point = self._due(step, self._config.checkpoints.summary_every)
        rate = self._rate_fn(step - 1)
        self._journal.steps(step, result, seconds=seconds, rate=rate, point=point)
        return step

    def _due(self, step, every):
        return step % every == 0 or step == self._config.num_steps

    def _save(self, step):
        if step != self._saved:
            self._checkpoints.save(step)
            self._saved = step

    def _evaluate_if_due(self, step, stop):
        """Evaluates ``step`` if that is due and not yet done; False where patience ends."""
        options = self._config.checkpoints
        history = self._journal.history
        due = step > 0 and self._due(step, options.eval_every)
        if self._evaluate_fn and due and not stop.signal and not history.evaluated(step):
            self._save(step)
            metrics, loss = self._evaluate_fn(step)
            # The row says that all of this is done: a run killed before it evaluates again.
            if history.improves(options.best_metric, metrics[options.best_metric]):
                self._checkpoints.save_best(step)
            self._journal.evaluation(step, metrics, loss)
            self._show_fn(step)
        best = history.best(options.best_metric)
        if not options.patience or best is None or best[1] < options.patience:
            return True
        self._journal.say(
            f"{best[1]} evaluations without a better {options.best_metric} than at step {best[0]}: "
            f"stopping (--patience={options.patience})"
        )
        return False


def steps_until_due(step: int, config: TrainConfig) -> int:
    """Steps to run from ``step`` before the next look: a loop's, or fewer to meet a cadence."""
    options = config.checkpoints
    cadences = [options.checkpoint_every, options.summary_every]
    cadences += [options.eval_every] if config.eval_records else []
    until_due = [every - step % every for every in cadences]
    return min(config.steps_per_loop, config.num_steps - step, *until_due)
