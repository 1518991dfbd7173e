"""The error for everything that a user can cause."""


class InputError(ValueError):
    """A flag, file or record set that cannot be used.

    The message says in one line where, what is wrong and what is allowed; the programs print it
    without a traceback and exit with code 2.
    """
