"""The weights that a run began with: by name, or by the content of the file they came from.

Once the run has a checkpoint, they are in it: a source that is gone by then is no loss.
"""

import hashlib
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass

from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.runs import checkpoint_names
from ssd_tfrecord.runs.checkpoint_names import BEST, CHECKPOINTS

# Values of --backbone_weights that are names and not files.
NAMED = ("imagenet", "none")

# Where a run folder's weights are looked for, the best first, as ``checkpoints.load_run`` does.
_PLACES = (f"{CHECKPOINTS}/{BEST}", CHECKPOINTS, ".")
_BLOCK = 2**20


@dataclass(frozen=True)
class StartWeights:
    """``flag`` (init_checkpoint or backbone_weights) and its ``value``, as given.

    Of a folder of checkpoints, ``checkpoint`` is the path in it of the one whose weights are meant.
    ``digest`` is the sha256 of the file (that of a published model, too), or of the checkpoint's
    files; "" for a name, or if there was no such file.
    """

    flag: str
    value: str
    checkpoint: str = ""
    digest: str = ""

    @property
    def is_file(self) -> bool:
        """Whether the value is a path."""
        return self.flag == "init_checkpoint" or self.value not in NAMED


def named_by(config: TrainConfig) -> StartWeights:
    """The start weights that ``config`` names; reads all of the file, if there is one."""
    if not config.init_checkpoint:
        value = config.model.backbone_weights
        path = pathlib.Path(value)
        files = [path] if value not in NAMED and path.is_file() else []
        return StartWeights("backbone_weights", value, digest=_digest(files))
    value = config.init_checkpoint
    # A checkpoint may have the name of a folder beside it.
    chosen = _chosen(pathlib.Path(value)) if pathlib.Path(value).is_dir() else ""
    return StartWeights("init_checkpoint", value, chosen, _checkpoint_digest(value, chosen))


def change(old: StartWeights, new: StartWeights) -> tuple[str, str]:
    """Whether a run that began with ``old`` may go on with a command that names ``new``.

    Args:
        old: the run's.
        new: the command's.

    Returns:
        (what forbids it in words, what is worth a line), each "" if there is nothing.
    """
    if not (old.is_file and new.is_file and old.flag == new.flag):
        same = (old.flag, old.value) == (new.flag, new.value)
        return ("" if same else _changed_flag(old, new)), ""
    # A run of an earlier version does not know what it began with.
    if not old.digest:
        return "", ""
    what = f"--{new.flag}={new.value}"
    # Of a folder, the checkpoint of then: a run that has gone on by now has a better one.
    digest = _checkpoint_digest(new.value, old.checkpoint) if old.checkpoint else new.digest
    if old.digest in (digest, new.digest):
        return "", ""
    if digest:
        return f"{what}: has other content than the file that the run began with", ""
    if new.digest and old.value != new.value:
        return f"--{new.flag}: {old.value} -> {new.value}", ""
    gone = (
        "the checkpoint that the run began with is no longer there" if new.digest else "not found"
    )
    return "", f"{what}: {gone}; not needed, as the run has its own checkpoints"


def _changed_flag(old: StartWeights, new: StartWeights) -> str:
    # With --init_checkpoint, --backbone_weights does not matter.
    flag = "init_checkpoint" if "init_checkpoint" in (old.flag, new.flag) else new.flag
    before, now = (item.value if item.flag == flag else "empty" for item in (old, new))
    return f"--{flag}: {before} -> {now}"


def _chosen(folder: pathlib.Path) -> str:
    """The path in ``folder`` of the checkpoint that is meant by it; "" if there is none."""
    for place in _PLACES:
        if found := checkpoint_names.steps(folder / place):
            return (pathlib.Path(place) / f"ckpt-{found[-1]}").as_posix()
    return ""


def _checkpoint_digest(value: str, chosen: str) -> str:
    files = checkpoint_names.files(pathlib.Path(value) / chosen if chosen else value)
    if not files and pathlib.Path(value).is_file():
        files = [pathlib.Path(value)]
    return _digest(files)


def _digest(files: Iterable[pathlib.Path]) -> str:
    """The sha256 of all ``files``; "" of none, or if one cannot be read."""
    digest, found = hashlib.sha256(), False
    try:
        for path in files:
            found = True
            with open(path, "rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest() if found else ""
