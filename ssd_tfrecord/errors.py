"""The errors that end a program with one line, and the exit code of each."""


class InputError(ValueError):
    """A flag, file or record set that cannot be used.

    The message says in one line where, what is wrong and what is allowed; the programs print it
    without a traceback and exit with ``exit_code``. 2 is the user's mistake: the same command fails
    again. What the world did has a code of its own below, as a job script restarts after some.
    """

    exit_code = 2


class NotFiniteError(InputError):
    """A loss or gradient is not finite; restarting alone changes nothing."""

    exit_code = 3


class DamagedRecordError(InputError):
    """A record or shard is damaged or gone; restarting alone changes nothing."""

    exit_code = 4


class InputTimeoutError(InputError):
    """No batch has come for ``--input_timeout`` seconds; a restart goes on."""

    exit_code = 5


class OutOfMemoryError(InputError):
    """A device or the host has no memory for what was asked; restarting alone changes nothing."""

    exit_code = 6


class DiskError(InputError):
    """The run folder cannot be written (full, read-only, gone); a restart goes on, given room."""

    exit_code = 7


class WorkerLostError(InputError):
    """A worker of the cluster is missing, was killed or is silent; a restart goes on."""

    exit_code = 8
