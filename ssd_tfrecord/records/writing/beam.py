"""Shards written by the workers of an Apache Beam runner, on this machine or on many.

A Beam element is a shard, and only its plan travels: a worker reads the images and writes the shard
where any other engine does, by the same code. The run and its workers meet in the folder of the
shards: there a worker says what it has finished or refused, and sees whether it is still wanted.
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
from collections.abc import Callable, Iterator, Sequence

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import RecordSetOptions
from ssd_tfrecord.records.processes import lock
from ssd_tfrecord.records.writing import journal
from ssd_tfrecord.records.writing.journal import FinishedShard
from ssd_tfrecord.records.writing.shards import Recipe, ShardPlan

# Beam's own DirectRunner looks for Prism first, a program that it loads from GitHub, and then takes
# this one. It is the same machine; --beam_runner=PrismRunner takes Prism.
_CLASSES = {"DirectRunner": "FnApiRunner"}
_REFUSED = "refused"
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_STOP = 10
# NFS shows what other machines have made this much later at most (acdirmax).
_SECONDS_UNTIL_SEEN = 60


def check(options: RecordSetOptions):
    """Raises InputError if Beam is not installed or does not take ``options.beam_options``."""
    if importlib.util.find_spec("apache_beam") is None:
        raise InputError(
            f"--beam_runner={options.beam_runner}: Apache Beam is not installed: "
            "pip install 'ssd_tfrecord[beam]'"
        )
    for item in options.beam_options:
        if not re.match(r"--\w+(=|$)", item) or item.startswith("--runner="):
            raise InputError(
                f"--beam_options={item}: must be options of Apache Beam, written --name=value and "
                "joined by commas; the runner is --beam_runner"
            )
    unknown = _unknown_options(options.beam_options)
    # The job servers of other runners have options of their own.
    if unknown and options.beam_runner == "DirectRunner":
        raise InputError(f"--beam_options=--{unknown[0]}: Apache Beam has no such option")


def write_shards(
    plans: Sequence[ShardPlan],
    recipe: Recipe,
    options: RecordSetOptions,
    advance: Callable[[int], None],
) -> Iterator[FinishedShard]:
    """Yields the shards of ``plans`` as they are finished; their order is not the plans'.

    This run must hold ``recipe.folder``, which all workers must see under this path, as they must
    the images.

    Args:
        advance: called with the number of images of a shard that is finished.

    Raises:
        InputError for a refused image, and if the job fails.
    """
    if not plans:
        return
    for name in (_REFUSED, *(journal.record_file(item.file) for item in plans)):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(recipe.folder, name))
    job = _Job(plans, recipe, options)
    job.start()
    try:
        yield from _as_finished(plans, recipe.folder, job, advance)
        job.join()
    finally:
        lock.call_off(recipe.folder)
        job.join(_SECONDS_TO_STOP)


def _unknown_options(flags):
    # At import Beam says that it misses Google's libraries.
    logging.disable(logging.WARNING)
    try:
        from apache_beam.options.pipeline_options import PipelineOptions

        with contextlib.redirect_stderr(io.StringIO()) as said:
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            return sorted(set(options.get_all_options(retain_unknown_options=True)) - set(known))
    except SystemExit:  # argparse's, after its usage
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise InputError(f"--beam_options: {reason}") from None
    finally:
        logging.disable(logging.NOTSET)


def _as_finished(plans, folder, job, advance):
    waiting, deadline = {item.file: item for item in plans}, None
    while waiting:
        is_over = not job.is_alive()  # asked first: what it left is there to be seen
        names = set(os.listdir(folder))
        if _REFUSED in names:
            raise InputError(_read(os.path.join(folder, _REFUSED)))
        for file in [file for file in waiting if journal.record_file(file) in names]:
            advance(waiting.pop(file).num_images)
            yield journal.load_finished(folder, file)
        if waiting and is_over:
            job.raise_error()
            deadline = deadline or time.monotonic() + _SECONDS_UNTIL_SEEN
            if time.monotonic() > deadline:
                raise InputError(
                    f"{folder}: Beam's workers have written elsewhere: all must see --output_dir "
                    "under the path that is given"
                )
        if waiting:
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _read(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


class _Job(threading.Thread):
    """The pipeline's run: with one runner it begins in the background, with another it is long."""

    def __init__(self, plans, recipe, options):
        super().__init__(daemon=True)
        self._plans, self._recipe, self._options = plans, recipe, options
        self._error = None

    def run(self):
        """Runs the pipeline to its end."""
        try:
            _run_pipeline(self._plans, self._recipe, self._options)
        except BaseException as error:  # SystemExit too, for an option that a job server refuses
            self._error = error

    def raise_error(self):
        """Raises InputError if the pipeline has failed; Beam has logged where."""
        if self._error is not None:
            lines = str(self._error).strip().splitlines() or [repr(self._error)]
            # "RuntimeError: ssd_tfrecord.errors.InputError: … [while running 'Map(_write)']"
            reason = re.sub(r"^.*InputError: | \[while running .*\]$", "", lines[-1])
            raise InputError(
                f"--beam_runner={self._options.beam_runner}: the job failed: {reason}"
            ) from self._error


def _run_pipeline(plans, recipe, options):
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    runner = _CLASSES.get(options.beam_runner, options.beam_runner)
    pipeline = beam.Pipeline(runner, PipelineOptions(list(options.beam_options)))
    _ = (
        pipeline
        | beam.Create(plans)
        | beam.Reshuffle()  # else one worker would get them all
        | beam.Map(_write, recipe, lock.holder(recipe.folder))
    )
    pipeline.run().wait_until_finish()


class _CalledOffError(Exception):
    """The run that asked for a shard has ended."""


class _Watch:
    """Raises _CalledOffError when it is called after the end of ``run``; looks once a second."""

    def __init__(self, folder, run):
        self._folder, self._run, self._next_look = folder, run, 0.0

    def __call__(self):
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + 1
            if lock.holder(self._folder) != self._run:
                raise _CalledOffError


def _write(plan, recipe, run):
    """Writes one shard in a worker, for the run of that name alone."""
    folder = recipe.folder
    if not os.path.isdir(folder):
        raise InputError(
            f"{folder}: is not there on {socket.gethostname()}: all workers must see --output_dir "
            "under the path that is given"
        )
    # As in the mains, whose environment a worker elsewhere does not have.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from ssd_tfrecord.records.writing import shard_writer

    watch = _Watch(folder, run)
    # A runner may give a shard out twice where one is late: the second finds it finished.
    with lock.joined(folder), lock.alone(os.path.join(folder, plan.file)):
        try:
            watch()
            if not os.path.exists(os.path.join(folder, journal.record_file(plan.file))):
                shard_writer.write(plan, recipe, watch)
        except _CalledOffError:
            pass
        except InputError as error:
            # Not raised: Beam would try four times, and wrap it in pages.
            _refuse(folder, plan.file, str(error))


def _refuse(folder, file, reason):
    aside = os.path.join(folder, f"{file}.{_REFUSED}")
    with open(aside, "w", encoding="utf-8", errors="surrogateescape") as text:
        text.write(reason)
    os.replace(aside, os.path.join(folder, _REFUSED))
