"""Shards written by the workers of an Apache Beam runner, on this machine or on many.

A Beam element is a shard, and only its plan travels: a worker reads the images and writes the shard
to the same place and with the same code as any other engine. The run and its workers meet in the
folder of the shards: there a worker says what it has finished or refused, and sees whether it is
still needed.
"""

import contextlib
import importlib.util
import io
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.records.writing import journal
from ssd_tfrecord.records.writing.journal import FinishedShard
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan

# Beam's own DirectRunner looks for Prism first, a program that it downloads from GitHub, and only
# then uses this one. Both work on this machine; --beam_runner=PrismRunner uses Prism.
_CLASSES = {"DirectRunner": "FnApiRunner"}
# The file in the folder of the shards that holds the message of a refused image.
_REFUSED = "refused"
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_STOP = 10
# NFS shows files made on other machines at most this much later (acdirmax).
_SECONDS_UNTIL_SEEN = 60


def check(options: RecordSetOptions) -> None:
    """Checks that Beam can be used as ``options`` say.

    Raises:
        InputError: Beam is not installed, or does not accept ``options.beam_options``.
    """
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            f"--beam_runner={options.beam_runner}: Apache Beam is not installed: "
            "pip install 'ssd_tfrecord[beam]'"
        )
    for item in options.beam_options:
        if not re.match(r"--\w+(=|$)", item) or item.startswith("--runner="):
            raise InputError(
                f"--beam_options={item}: must be options of Apache Beam, written --name=value and "
                "separated by commas; the runner is set with --beam_runner"
            )
    unknown = _unknown_options(options.beam_options)
    # Not for other runners, whose job servers have options of their own.
    if unknown and options.beam_runner == "DirectRunner":
        raise InputError(f"--beam_options=--{unknown[0]}: Apache Beam has no such option")


def write_shards(
    plans: Sequence[ShardPlan],
    recipe: Recipe,
    options: RecordSetOptions,
    advance: Callable[[int], object],
) -> Generator[FinishedShard, None, None]:
    """Yields the shards of ``plans`` as they are finished, in any order.

    This run must hold ``recipe.folder``. All workers must see it, and the images, under the same
    paths.

    Args:
        plans: the shards to write.
        recipe: what they have in common.
        options: the runner, and its own options.
        advance: called with the number of images of each shard that is finished.

    Raises:
        InputError: an image was refused, or the job failed.
    """
    if not plans:
        return
    # What an earlier run has left would be taken for this one's.
    for name in (_REFUSED, *(journal.record_file(item.file) for item in plans)):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(recipe.folder, name))
    job = _Job(plans, recipe, options)
    job.start()
    try:
        yield from _as_finished(plans, recipe.folder, job, advance)
        job.join()
    finally:
        # Workers elsewhere cannot be stopped, but they check whether they are still needed.
        lock.call_off(recipe.folder)
        job.join(_SECONDS_TO_STOP)


def _unknown_options(flags: Sequence[str]) -> list[str]:
    # At import Beam warns that Google's libraries are missing.
    logging.disable(logging.WARNING)
    try:
        from apache_beam.options.pipeline_options import PipelineOptions

        with contextlib.redirect_stderr(io.StringIO()) as said:
            options = PipelineOptions(list(flags))
            # Beam itself only warns about unknown options, and drops them.
            known = options.get_all_options()
            return sorted(set(options.get_all_options(retain_unknown_options=True)) - set(known))
    except SystemExit:  # raised by argparse, which has printed its usage and then the error
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise InputError(f"--beam_options: {reason}") from None
    finally:
        logging.disable(logging.NOTSET)


def _as_finished(
    plans: Iterable[ShardPlan], folder: str, job: "_Job", advance: Callable[[int], object]
) -> Iterator[FinishedShard]:
    waiting = {item.file: item for item in plans}
    deadline: float | None = None
    while waiting:
        is_over = not job.is_alive()  # before listdir(), which then sees all that the job has left
        names = set(os.listdir(folder))
        if _REFUSED in names:
            raise InputError(_read(os.path.join(folder, _REFUSED)))
        for file in [file for file in waiting if journal.record_file(file) in names]:
            shard = journal.load_finished(folder, file)
            # None: not yet readable, as over NFS; looked at again.
            if shard is not None:
                advance(waiting.pop(file).num_images)
                yield shard
        if waiting and is_over:
            job.raise_error()
            deadline = deadline or time.monotonic() + _SECONDS_UNTIL_SEEN
            if time.monotonic() > deadline:
                raise InputError(
                    f"{folder}: Beam's workers have written elsewhere, or what they wrote cannot "
                    "be read: all must see --output_dir under the same path"
                )
        if waiting:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _read(path: str) -> str:
    # Surrogates, since the message may name a file that is not UTF-8.
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


class _Job(threading.Thread):
    """The pipeline in a thread, since some runners work in the background and others block."""

    def __init__(
        self, plans: Sequence[ShardPlan], recipe: Recipe, options: RecordSetOptions
    ) -> None:
        # A daemon: a runner that cannot be stopped does not keep the program from ending.
        super().__init__(daemon=True)
        self._plans, self._recipe, self._options = plans, recipe, options
        self._error: BaseException | None = None

    def run(self) -> None:
        """Runs the pipeline to its end."""
        try:
            _run_pipeline(self._plans, self._recipe, self._options)
        except BaseException as error:  # SystemExit too, for an option that a job server refuses
            self._error = error

    def raise_error(self) -> None:
        """Reports a failed pipeline; Beam has logged where it failed.

        Raises:
            InputError: the pipeline has failed.
        """
        if self._error is not None:
            lines = str(self._error).strip().splitlines() or [repr(self._error)]
            # Beam wraps it: "RuntimeError: ssd_tfrecord.errors.InputError: … [while running
            # 'Map(_write)']".
            reason = re.sub(r"^.*InputError: | \[while running .*\]$", "", lines[-1])
            raise InputError(
                f"--beam_runner={self._options.beam_runner}: the job failed: {reason}"
            ) from self._error


def _run_pipeline(plans: Sequence[ShardPlan], recipe: Recipe, options: RecordSetOptions) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    runner = _CLASSES.get(options.beam_runner, options.beam_runner)
    pipeline = beam.Pipeline(runner, PipelineOptions(list(options.beam_options)))
    _ = (
        pipeline
        | beam.Create(plans)
        | beam.Reshuffle()  # or one worker would get them all
        | beam.Map(_write, recipe, lock.holder(recipe.folder))
    )
    pipeline.run().wait_until_finish()


class _CalledOffError(Exception):
    """The run that asked for a shard has ended."""


class _Watch:
    """Called after each image, raises _CalledOffError once the run of that name has ended."""

    def __init__(self, folder: str, run: str) -> None:
        self._folder, self._run, self._next_look = folder, run, 0.0

    def __call__(self) -> None:
        # Once a second, since the folder may be on a network.
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + 1
            if lock.holder(self._folder) != self._run:
                raise _CalledOffError


def _write(plan: ShardPlan, recipe: Recipe, run: str) -> None:
    """Writes one shard in a worker, for the run of that name alone."""
    folder = recipe.folder
    if not os.path.isdir(folder):
        raise InputError(
            f"{folder}: does not exist on {socket.gethostname()}: all workers must see "
            "--output_dir under the same path"
        )
    # As the converters do, whose environment a worker elsewhere does not have.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.writing import shard_writer

    watch = _Watch(folder, run)
    # A runner may hand out a shard again if its worker is late: the second finds it finished.
    with lock.joined(folder), lock.alone(os.path.join(folder, plan.file)):
        try:
            watch()
            if not os.path.exists(os.path.join(folder, journal.record_file(plan.file))):
                shard_writer.write(plan, recipe, watch)
        except _CalledOffError:
            pass
        except InputError as error:
            # Not raised: Beam would try four times, and bury the message in pages of traceback.
            _refuse(folder, plan.file, str(error))


def _refuse(folder: str, file: str, reason: str) -> None:
    # Aside first, so that the run never reads half a message.
    aside = os.path.join(folder, f"{file}.{_REFUSED}")
    with open(aside, "w", encoding="utf-8", errors="surrogateescape") as text:
        text.write(reason)
    os.replace(aside, os.path.join(folder, _REFUSED))
