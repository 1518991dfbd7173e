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


def check_batch_size(
    batch_size: int,
    num_replicas: int,
    flag: str = "global_batch_size",
    accumulate_steps: int = 1,
) -> None:
    """Checks that the batch can be divided evenly among the replicas, and there into its parts.

    Args:
        batch_size: number of images in the global batch; 0, which is still to be found, fits.
        num_replicas: number of replicas.
        flag: name of the flag that sets ``batch_size``.
        accumulate_steps: number of parts that a replica goes through one after the other.

    Raises:
        InputError: it cannot.
    """
    if batch_size % (num_replicas * accumulate_steps):
        parts = f"the number of replicas, {num_replicas}"
        if accumulate_steps > 1:
            parts = (
                f"{num_replicas * accumulate_steps}: {num_replicas} replica(s), "
                f"--accumulate_steps={accumulate_steps}"
            )
        raise InputError(f"--{flag}={batch_size}: must be a multiple of {parts}")
