"""--init_checkpoint as a published model: what it is, and where its anchors differ.

Free of TensorFlow; NumPy is imported only where there is such a file.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import CAFFE, AnchorOptions
from ssd_tfrecord.runs import run_folder

if TYPE_CHECKING:
    from ssd_tfrecord.model.weights.published.published_model import PublishedModel


def is_published(value: str) -> bool:
    """Whether ``--init_checkpoint`` names the file of a published model, not a run's checkpoint.

    Raises:
        InputError: it is a file that cannot be read, or is cut.
    """
    if not value:
        return False
    from ssd_tfrecord.model.weights.published import published_model

    with _of_the_flag():
        return published_model.is_published(value)


def read(value: str) -> "PublishedModel":
    """The published model that ``--init_checkpoint`` names.

    Raises:
        InputError: it cannot be read, or is of no known layout.
    """
    from ssd_tfrecord.model.weights.published import published_model

    with _of_the_flag():
        return published_model.read_published(value)


def anchor_variant(value: str) -> str:
    """The variant of the anchors that ``--init_checkpoint`` was trained with.

    Args:
        value: a published model, or a run.

    Raises:
        InputError: it cannot be read.
    """
    if is_published(value):
        return read(value).anchor_variant
    return run_folder.anchor_variant(run_folder.run_of_checkpoint(value)) or CAFFE


def other_anchors(source: AnchorOptions, own: AnchorOptions) -> list[str]:
    """A line if a run has other anchors than the weights that it begins with.

    Args:
        source: of the weights.
        own: of the run.
    """
    # Empty are the variant of earlier runs, and the published ratios.
    pairs = {
        "anchor_scales": (source.anchor_scales, own.anchor_scales),
        "aspect_ratios": (source.aspect_ratios, own.aspect_ratios),
        "anchor_variant": (source.anchor_variant or CAFFE, own.anchor_variant or CAFFE),
    }
    wanted = [f"--{name}={there}" for name, (there, here) in pairs.items() if there != here]
    if not wanted:
        return []
    return [
        f"init checkpoint: was trained with other anchors than this run has; {' '.join(wanted)} "
        "would make them the same, so that the heads need not be learnt anew"
    ]


@contextlib.contextmanager
def _of_the_flag() -> Iterator[None]:
    """Puts the flag before messages, which begin with the path."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--init_checkpoint={error}") from None
