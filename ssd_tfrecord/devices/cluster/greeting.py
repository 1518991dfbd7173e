"""What a follower says of itself to be let in, and what the leader compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from ssd_tfrecord import __version__
from ssd_tfrecord.devices.cluster.link import described, identity
from ssd_tfrecord.devices.cluster.messages import FrameError, Message
from ssd_tfrecord.devices.cluster.worker_group import WorkerGroup

# Of a text that differs, in a message.
_EXCERPT = 60


@dataclass(frozen=True)
class Greeting:
    """A worker that wants to join.

    Attributes:
        index: its rank.
        name: in words, such as "worker 2 (node7, process 4711)".
        facts: {what: text} that must be equal on all workers.
    """

    index: int
    name: str
    facts: Mapping[str, str]


def own_greeting(group: WorkerGroup, hello: Mapping[str, str]) -> Greeting:
    """This process's, with the versions and the list of workers before what ``hello`` says."""
    facts = {
        "ssd_tfrecord": __version__,
        "TensorFlow": _tensorflow_version(),
        "the list of workers": ", ".join(group.addresses),
    }
    return Greeting(group.index, described(group.index, identity()), facts | dict(hello))


def to_message(greeting: Greeting) -> Message:
    """The greeting as it is sent."""
    facts = dict(greeting.facts)
    return Message("hello", {"index": greeting.index, "facts": facts, **identity()})


def from_message(message: Message) -> Greeting:
    """The greeting that was sent.

    Raises:
        FrameError: it is none.
    """
    index, facts = message.values.get("index"), message.values.get("facts")
    if type(index) is not int or not isinstance(facts, dict):
        raise FrameError("is no greeting")
    if not all(isinstance(text, str) for text in facts.values()):
        raise FrameError("is no greeting")
    return Greeting(index, described(index, message.values), facts)


def contradiction(own: Greeting, other: Greeting) -> str:
    """The first fact that is not equal, in one line; empty if all are."""
    for what in [*own.facts, *(what for what in other.facts if what not in own.facts)]:
        ours, theirs = _one_line(own.facts, what), _one_line(other.facts, what)
        if own.facts.get(what) != other.facts.get(what):
            theirs, ours = _excerpts(theirs, ours)
            return (
                f"{other.name} has another value for {_one_line({'': what}, '')[:100]} than "
                f"{own.name}: {theirs} instead of {ours}; all workers must be started with the same"
            )
    return ""


def _tensorflow_version() -> str:
    # Importing it takes seconds. Its distribution may have another name, such as tensorflow-cpu.
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _one_line(facts: Mapping[str, str], what: str) -> str:
    text = " ".join(facts.get(what, "nothing").split())
    return "".join(filter(str.isprintable, text))


def _excerpts(first: str, second: str) -> tuple[str, str]:
    """Both texts, cut to where they begin to differ."""
    pairs = enumerate(zip(first, second))
    differs = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
    start = max(first.rfind(" ", 0, differs) + 1, differs - _EXCERPT // 2)
    return _excerpt(first, start), _excerpt(second, start)


def _excerpt(text: str, start: int) -> str:
    end = start + _EXCERPT
    return f"'{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}'"
