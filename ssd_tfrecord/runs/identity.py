"""What makes a run this run, wherever it lies: records, start weights, and the flags that matter.

identity.json keeps it in the run folder. Paths are no part of it: records and weights are compared
by their content. Free of TensorFlow.
"""

import dataclasses
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssd_tfrecord import flags
from ssd_tfrecord.config import TrainConfig
from ssd_tfrecord.errors import InputError
from ssd_tfrecord.options import names_of_role
from ssd_tfrecord.records.manifest import Manifest
from ssd_tfrecord.runs import record_content, start_weights
from ssd_tfrecord.runs.record_content import RecordContent
from ssd_tfrecord.runs.start_weights import StartWeights

SCHEMA_VERSION = 1

# Flags whose value is a path of something that is compared by its content.
_BY_CONTENT = {"train_records", "init_checkpoint", "backbone_weights"}


@dataclass(frozen=True)
class Identity:
    """What makes a run this run.

    ``flags`` is {flag: text} of those that change its weights. ``train`` are the training sets in
    their order, ``weights`` the start weights; both are None of a run whose version did not keep
    them. ``evaluation`` and ``restart_id`` change no weight: they are kept to be told apart.
    """

    flags: dict[str, str] = field(default_factory=dict)
    train: tuple[RecordContent, ...] | None = None
    weights: StartWeights | None = None
    evaluation: RecordContent | None = None
    restart_id: str = ""

    def digests(self) -> dict[str, str]:
        """{what: sha256} of all content that is known, for the list of starts."""
        found = {f"train_records={item.path}": item.digest for item in self.train or ()}
        if self.evaluation:
            found[f"eval_records={self.evaluation.path}"] = self.evaluation.digest
        if self.weights and self.weights.digest:
            found[f"{self.weights.flag}={self.weights.value}"] = self.weights.digest
        return found


@dataclass(frozen=True)
class Difference:
    """Where a command differs from a run that it is to resume, in words.

    ``flags`` and ``content`` forbid it. ``freed`` are flags that may change this time, ``notes``
    what is worth a line.
    """

    flags: tuple[str, ...]
    content: tuple[str, ...]
    freed: tuple[str, ...]
    notes: tuple[str, ...]


def identify(
    config: TrainConfig, train: Sequence[Manifest], evaluation: Manifest | None
) -> Identity:
    """The identity of a run of ``config``; reads all of the file of start weights.

    Args:
        config: of the run.
        train: the manifests of the training sets.
        evaluation: that of the evaluation set, if any.
    """
    return dataclasses.replace(
        of_flags(config),
        train=tuple(map(RecordContent.of, train)),
        weights=start_weights.named_by(config),
        evaluation=RecordContent.of(evaluation) if evaluation else None,
    )


def of_flags(config: TrainConfig) -> Identity:
    """The identity of a run of ``config``, of whose content nothing is known."""
    names = names_of_role(config, "result") - _BY_CONTENT
    if config.optimizer.lr_schedule == "cosine":
        # Its learning rates follow from the number of steps.
        names |= {"num_steps"}
    values = values_of(flags.to_lines(config))
    kept = {name: text for name, text in values.items() if name in names}
    return Identity(kept, restart_id=config.restart_id)


def with_flags_of(identity: Identity, config: TrainConfig) -> Identity:
    """``identity`` with the flags of ``config``, of which more has been decided by now."""
    return dataclasses.replace(identity, flags=of_flags(config).flags)


def of_lines(lines: Iterable[str], config: TrainConfig) -> Identity:
    """The identity of a run of an earlier version, of which only flags are known.

    Args:
        lines: of its flags.txt.
        config: of this start, which says what matters.
    """
    values = values_of(lines)
    kept = {name: values[name] for name in of_flags(config).flags if name in values}
    weights = values.get("backbone_weights", "")
    named = weights in start_weights.NAMED and not values.get("init_checkpoint")
    return Identity(
        kept,
        weights=StartWeights("backbone_weights", weights) if named else None,
        restart_id=values.get("restart_id", ""),
    )


def values_of(lines: Iterable[str]) -> dict[str, str]:
    """{flag: text} of lines like ``--flag=text``, as ``flags.to_lines`` writes them."""
    return dict(line.removeprefix("--").split("=", 1) for line in lines)


def difference(old: Identity, new: Identity, *, free: Collection[str] = ()) -> Difference:
    """Where the run ``old`` and the command ``new`` differ.

    Args:
        old: the run's identity.
        new: that of a command that is to resume it.
        free: flags that may change, as the run has stopped by one of them.
    """
    # The file of an older version lacks newer flags: these are not compared.
    changed = {
        name: f"--{name}: {old.flags[name] or 'empty'} -> {text or 'empty'}{_reason(name)}"
        for name, text in new.flags.items()
        if name in old.flags and old.flags[name] != text
    }
    refused = tuple(text for name, text in changed.items() if name not in free)
    content = [record_content.change(old.train, new.train)] if old.train and new.train else []
    freed = tuple(text for name, text in changed.items() if name in free)
    notes = []
    if old.weights and new.weights:
        wrong, note = start_weights.change(old.weights, new.weights)
        content.append(wrong)
        notes.append(note)
    if old.evaluation and new.evaluation and old.evaluation.digest != new.evaluation.digest:
        notes.append(
            f"--eval_records={new.evaluation.path}: has other content than before; its metrics do "
            "not compare with earlier ones"
        )
    return Difference(refused, tuple(filter(None, content)), freed, tuple(filter(None, notes)))


def resumed(old: Identity, new: Identity) -> Identity:
    """The identity of the run ``old`` that goes on with the command ``new``.

    What the run began with stays known, even where the command does not know it, as of start
    weights that are gone by now.
    """
    known = old.weights and (old.weights.digest or not (new.weights and new.weights.digest))
    return dataclasses.replace(
        new,
        train=new.train or old.train,
        weights=old.weights if known else new.weights,
        evaluation=new.evaluation or old.evaluation,
        restart_id=old.restart_id,
    )


def _reason(name: str) -> str:
    if name == "num_steps":
        return ", which changes the learning rates of --lr_schedule=cosine"
    return ""


def to_json(identity: Identity) -> str:
    """The text of identity.json."""
    content = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(identity)}
    return json.dumps(content, indent=1) + "\n"


def from_content(content: Mapping[str, Any]) -> Identity:
    """The identity of the JSON object that ``to_json`` wrote.

    Raises:
        InputError: a newer version wrote it.
        ValueError: it is damaged.
    """
    try:
        version = content["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise InputError(
                f"schema_version {version}: written by a newer ssd_tfrecord; must be at most "
                f"{SCHEMA_VERSION}"
            )
        train, evaluation = content["train"], content["evaluation"]
        weights = content["weights"]
        return Identity(
            flags={_text(name): _text(value) for name, value in content["flags"].items()},
            train=None if train is None else tuple(map(_record_content, train)),
            weights=None if weights is None else _weights(weights),
            evaluation=None if evaluation is None else _record_content(evaluation),
            restart_id=_text(content["restart_id"]),
        )
    except InputError:
        raise
    except KeyError as error:
        raise ValueError(f"{error} is missing") from None
    except (ValueError, TypeError, AttributeError):
        raise ValueError("not what training writes") from None


def _record_content(item: Mapping[str, Any]) -> RecordContent:
    shards = tuple((_text(digest), _count(records)) for digest, records in item["shards"])
    return RecordContent(_text(item["path"]), shards, tuple(map(_text, item["classes"])))


def _weights(item: Mapping[str, Any]) -> StartWeights:
    return StartWeights(**{_text(name): _text(value) for name, value in item.items()})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value
