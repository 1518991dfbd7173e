"""Checks that several programs share."""

from ssd_tfrecord.errors import InputError


def require(config: object, *names: str) -> None:
    """Checks that none of the fields ``names`` of ``config`` is empty.

    Raises:
        InputError: one is; the message names the first.
    """
    for name in names:
        if not getattr(config, name):
            raise InputError(f"--{name} is required")


def check_batch_size(batch_size: int, num_replicas: int, flag: str = "global_batch_size") -> None:
    """Checks that the batch can be divided evenly among the replicas.

    Args:
        batch_size: number of images in the global batch.
        num_replicas: number of replicas.
        flag: name of the flag that sets ``batch_size``.

    Raises:
        InputError: it cannot.
    """
    if batch_size % num_replicas:
        raise InputError(
            f"--{flag}={batch_size}: must be a multiple of the number of replicas, {num_replicas}"
        )
