"""Checks that several programs share."""

from ssd_tfrecord.errors import InputError


def require(config: object, *names: str) -> None:
    """Raises ``InputError`` for the first of the fields ``names`` that is empty."""
    for name in names:
        if not getattr(config, name):
            raise InputError(f"--{name}: must be given")


def check_batch_size(batch_size: int, num_replicas: int, flag: str = "global_batch_size") -> None:
    """Raises ``InputError`` where the batch of ``--flag`` cannot be shared out evenly."""
    if batch_size % num_replicas:
        raise InputError(
            f"--{flag}={batch_size}: must be a multiple of the {num_replicas} replicas"
        )
