"""This machine's place among those that read the same run. Free of TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """Machine ``index`` of ``count``, each of which takes its share of the records."""

    index: int = 0
    count: int = 1
