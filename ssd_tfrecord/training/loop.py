"""The loop of a run: steps and, each at its cadence, points, checkpoints and evaluations."""

import time
from collections.abc import Callable
from typing import Any

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import NotFiniteError
from ssd_tfrecord.runs.checkpoints import Checkpoints
from ssd_tfrecord.training.logs.event_journal import Journal
from ssd_tfrecord.training.runner import MAX_SKIPS, RunResult, StepRunner
from ssd_tfrecord.training.stopping.signals import Stopped, StopRequest
from ssd_tfrecord.training.stopping.time_limit import TimeLimit


class StepNotFiniteError(ArithmeticError):
    """The loss or the gradient of step ``step`` (from 1) is not finite."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


class Loop:
    """Runs the steps of a run, and all that is due between them.

    ``runner`` runs the steps; ``complete`` is whether nothing is left to do, the last evaluation
    included, and ``out_of_time`` whether the reason is ``--max_hours``.

    Args:
        config: of the run.
        runner: runs the steps; its batches begin where the loop does.
        checkpoints: of the run.
        journal: told of every step and evaluation.
        rate_fn: number of finished steps -> learning rate of the next one.
        evaluate_fn: step -> (metrics of metrics.json without ``step``, loss); None: no evaluations.
        show_fn: called with the step after the first point and after each evaluation.
        leave_out_fn: a step whose loss or gradient is not finite -> whether the run goes on.
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
        leave_out_fn: Callable[[int], bool] = lambda step: False,
    ) -> None:
        self.complete = self.out_of_time = False
        self._config = config
        self.runner = runner
        self._checkpoints = checkpoints
        self._journal = journal
        self._rate_fn = rate_fn
        self._evaluate_fn = evaluate_fn
        self._show_fn = show_fn
        self._leave_out_fn = leave_out_fn
        self._first = self._saved = 0
        self._diverged = False
        self._limit = TimeLimit(0.0, time.time(), num_images=0, batch_size=1)

    def run(self, step: int, stop: StopRequest, limit: TimeLimit | None = None) -> int:
        """Runs until ``num_steps``, until patience or time is up, or until a stop is requested.

        All that is due at a step is done before the next one, and a checkpoint is saved at the end,
        after an error, too. A stop gives up an evaluation or the tracing of the steps.

        Args:
            step: number of steps that are already finished, and in a checkpoint.
            stop: the loop ends soon after it has received a signal.
            limit: says when there is time for nothing but a checkpoint and an evaluation.

        Returns:
            The number of finished steps.

        Raises:
            StepNotFiniteError: a loss or gradient is not finite; nothing is saved then.
            NotFiniteError: loss scaling has skipped ``MAX_SKIPS`` steps in a row.
        """
        self._first = self._saved = step
        self._limit = limit or self._limit
        try:
            self._run(step, stop)
        except Stopped:
            pass
        except StepNotFiniteError:
            # What led to it may be no weights to go on with: the last checkpoint stays the last.
            self._diverged = True
            raise
        except Exception:
            self.save_finished()
            raise
        return self.save_finished()

    def finished(self) -> int:
        """The number of finished steps; for any thread."""
        return self._first + self.runner.progress().num_steps

    @property
    def saved(self) -> int:
        """The number of steps in the last checkpoint."""
        return self._saved

    def save_finished(self) -> int:
        """Saves what is finished, if that is not yet done; returns the number of finished steps.

        For any thread, while no step is being computed.
        """
        with self._checkpoints.lock:
            if self._diverged:
                return self._saved
            step = self.finished()
            self._save(step)
        return step

    def _run(self, step: int, stop: StopRequest) -> None:
        # Due already if the run was killed between a checkpoint and its evaluation.
        patient = self._evaluate_if_due(step, stop)
        shown = False
        if step < self._config.num_steps and patient and not stop.signal:
            with stop.interruptible(), self._limit.timed("trace"):
                self.runner.trace()
        while step < self._config.num_steps and patient and not stop.signal:
            if self._time_is_up(step):
                self._evaluate_if(not self._journal.history.evaluated(step), step, stop)
                # Nothing is left to do in this start.
                self.complete = stop.complete = not stop.signal
                return
            step = self._run_steps(step)
            if not shown and self._due(step, self._config.checkpoints.summary_every):
                self._show(step, stop)
                shown = True
            if self._due(step, self._config.checkpoints.checkpoint_every):
                self._save(step)
            patient = self._evaluate_if_due(step, stop)
        done = step >= self._config.num_steps and not self._evaluation_is_due(step)
        self.complete = stop.complete = done or not patient

    def _run_steps(self, step: int) -> int:
        start = time.perf_counter()
        result = self.runner.run(steps_until_due(step, self._config))
        seconds = time.perf_counter() - start
        for number in result.not_finite:
            if not self._leave_out_fn(step + number):
                raise StepNotFiniteError(step + number)
        step += result.num_steps
        if result.num_steps:
            point = self._due(step, self._config.checkpoints.summary_every)
            # That of the last step: the schedule counts the steps finished before it.
            rate = self._rate_fn(step - 1)
            self._journal.steps(step, result, seconds=seconds, rate=rate, point=point)
            self._limit.stepped(result.num_steps, seconds)
        if result.skips_in_a_row >= MAX_SKIPS:
            raise NotFiniteError(_skips_text(step, result))
        return step

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self._config.num_steps

    def _show(self, step: int, stop: StopRequest) -> None:
        with stop.interruptible():
            self._show_fn(step)

    def _save(self, step: int) -> None:
        with self._checkpoints.lock:
            if step != self._saved:
                with self._limit.timed("save"):
                    self._checkpoints.save(step)
                self._saved = step

    def _evaluation_is_due(self, step: int) -> bool:
        due = step > 0 and self._due(step, self._config.checkpoints.eval_every)
        return bool(self._evaluate_fn) and due and not self._journal.history.evaluated(step)

    def _time_is_up(self, step: int) -> bool:
        count = steps_until_due(step, self._config)
        up = self._limit.due(count)
        if up:
            self.out_of_time = True
            self._journal.say(self._limit.line(step, count))
        return up

    def _evaluate_if_due(self, step: int, stop: StopRequest) -> bool:
        """Evaluates ``step`` if due and not yet done; returns False if patience is exhausted."""
        return self._evaluate_if(self._evaluation_is_due(step), step, stop)

    def _evaluate_if(self, wanted: bool, step: int, stop: StopRequest) -> bool:
        options = self._config.checkpoints
        if self._evaluate_fn and wanted and step > 0 and not stop.signal:
            self._save(step)
            with stop.interruptible(), self._limit.timed("evaluation"):
                metrics, loss = self._evaluate_fn(step)
            # Before the row in the history. With the row, the evaluation counts as done; a run that
            # is killed before the row is written evaluates again.
            value = metrics[options.best_metric]
            if value is not None and self._improves(value):
                self._checkpoints.save_best(step, options.best_metric, value)
            self._journal.evaluation(step, metrics, loss)
            self._show(step, stop)
        best = self._journal.history.best(options.best_metric)
        if not options.patience or best is None or best[1] < options.patience:
            return True
        self._journal.say(
            f"stopping: {options.best_metric} has not improved since step {best[0]} (evaluations "
            f"since then: {best[1]}, --patience={options.patience})"
        )
        return False

    def _improves(self, value: float) -> bool:
        """Whether ``value`` is above that of the best checkpoint, by what it records of itself."""
        metric = self._config.checkpoints.best_metric
        best = self._checkpoints.best()
        if best is not None and metric in best[1]:
            return value > best[1][metric]
        # Chosen by another metric, or by a version that recorded none: the history may know.
        known = self._journal.history.best(metric) if best is not None else None
        return known is None or self._journal.history.improves(metric, value)


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


def _skips_text(step: int, result: RunResult) -> str:
    scale = result.last["loss_scale"]
    return (
        f"step {step}: the last {result.skips_in_a_row} steps changed no weight: their gradients "
        f"were not finite even at a loss scale of {scale:g}; start again (--restart) with "
        "--precision=mixed_bfloat16 or float32, or a lower --learning_rate"
    )
