"""The folder that fit writes: what lies where in it, and which record set is for what."""

import os
import pathlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass

from ssd_tfrecord.config import FitConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.fitting import recipe_file, stages
from ssd_tfrecord.fitting.source_check import training_parts
from ssd_tfrecord.options import flag_text

# Everything that fit writes, fit.json last: until then, what is left is known to be its.
_NAMES = ("index.html", "exports", "run", "check.json", recipe_file.NAME, "records", "fit.json")


def check_ours(path: str) -> None:
    """Checks that nothing of the user's has a name of what fit makes, and with --restart deletes.

    Args:
        path: --output_dir.

    Raises:
        InputError: something has, in a folder without fit.json.
    """
    if os.path.lexists(os.path.join(path, stages.FILE_NAME)):
        return
    for name in _NAMES:
        if os.path.lexists(os.path.join(path, name)):
            raise InputError(
                f"--output_dir={path}: has {name}, but no {stages.FILE_NAME}: fit has not made it; "
                "choose another folder"
            )


@dataclass(frozen=True)
class FitFolder:
    """Where all lies below ``path``.

    ``parts`` are the splits; those ``trained`` on, the one ``watched`` in training (or ""), and the
    one ``evaluated`` in the end are among them.
    """

    path: pathlib.Path
    parts: tuple[str, ...]
    trained: tuple[str, ...]
    watched: str
    evaluated: str

    @classmethod
    def of(cls, config: FitConfig, parts: Collection[str]) -> "FitFolder":
        """Makes the folder of a config.

        Args:
            config: of fit.
            parts: the splits.
        """
        trained, watched, evaluated = training_parts(parts, hold_out=config.hold_out)
        return cls(
            pathlib.Path(config.output_dir), tuple(parts), tuple(trained), watched, evaluated
        )

    @property
    def purposes(self) -> str:
        """What each split is for, in a line."""
        line = f"to train on: {' and '.join(self.trained)}"
        if self.watched and self.watched != self.evaluated:
            line += f"; {self.watched} chooses the checkpoint"
        if self.watched == self.evaluated:
            return f"{line}; {self.evaluated} chooses the checkpoint, and scores the model"
        apart = " (--hold_out keeps val apart)" if len(self.trained) > 1 else ""
        return f"{line}{apart}; {self.evaluated} is seen once, at the end"

    @property
    def records(self) -> pathlib.Path:
        """Of all record sets."""
        return self.path / "records"

    @property
    def record_sets(self) -> dict[str, pathlib.Path]:
        """{split: its record set}."""
        return {name: self.records / name for name in self.parts}

    @property
    def run(self) -> pathlib.Path:
        """The run folder."""
        return self.path / "run"

    @property
    def evaluation(self) -> pathlib.Path:
        """What is written about the evaluated set."""
        return self.run / "evaluations" / self.evaluated

    @property
    def exports(self) -> pathlib.Path:
        """The exported files."""
        return self.path / "exports"

    def remove(self) -> None:
        """Removes what fit has made; a folder without fit.json is none of its.

        Raises:
            OSError: it cannot be removed.
        """
        if not (self.path / stages.FILE_NAME).exists():
            return
        for name in _NAMES:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def training_words(self) -> list[str]:
        """The words of ssd-tfrecord that train."""
        sets = self.record_sets
        words = [
            "train",
            f"--flagfile={self.path / recipe_file.NAME}",
            f"--train_records={flag_text(tuple(str(sets[name]) for name in self.trained))}",
        ]
        words += [f"--eval_records={sets[self.watched]}"] if self.watched else []
        return [*words, f"--run_dir={self.run}"]
