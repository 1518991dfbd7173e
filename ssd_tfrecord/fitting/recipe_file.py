"""recipe.flags: what fit has chosen, as a flagfile for the trainer, each choice with its reason."""

import os
import shlex
from collections.abc import Iterable, Sequence

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.fitting.choices import Choice
from ssd_tfrecord.runs.run_files import write_text

NAME = "recipe.flags"


def lines(choices: Iterable[Choice]) -> list[str]:
    """The flags of ``choices`` as lines of a flagfile."""
    return [f"--{name}={value}" for choice in choices for name, value in choice.flags.items()]


def parsed(choices: Iterable[Choice], words: Sequence[str]) -> TrainConfig:
    """The config of the training.

    Args:
        choices: all of them.
        words: the flags that are none of the recipe's, such as --run_dir.

    Raises:
        InputError: they do not fit together.
    """
    return flags.parse(TrainConfig, ["fit", *lines(choices), *words])


def write(path: str | os.PathLike[str], choices: Sequence[Choice], command: Sequence[str]) -> None:
    """Writes the flagfile.

    Args:
        path: of the file.
        choices: what was chosen.
        command: the words of ssd-tfrecord that train by it.

    Raises:
        OSError: it cannot be written.
    """
    text = [
        "# Chosen by `ssd-tfrecord fit`; change it as you like, and train with another --run_dir:",
        f"# {shlex.join(['ssd-tfrecord', *command])}",
    ]
    for choice in choices:
        text += ["", f"# {choice.reason}.", *lines([choice])]
    write_text(path, "\n".join(text) + "\n")
