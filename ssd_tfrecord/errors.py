"""The one error that a user can cause."""


class InputError(ValueError):
    """A flag, file or record set that cannot be used.

    The message says where, what is wrong and what is allowed, in one line; the mains print it
    without a traceback and exit with 2.
    """
