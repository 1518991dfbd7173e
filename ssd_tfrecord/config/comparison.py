"""The config of the comparison of a run with a known curve."""

from dataclasses import dataclass

from ssd_tfrecord.config.checks import require
from ssd_tfrecord.options import Options, option


@dataclass(frozen=True)
class CompareCurveConfig(Options):
    """Compare the scores of a run, step by step, with those that its recipe is known to reach.

    Exits with code 1 if the run is below at one of them.
    """

    run_dir: str = option("", "run folder, of which history.csv is read (required)")
    curve: str = option(
        "recipe",
        "what to compare with. recipe: the curve of the recipe whose flags the run has; the name "
        "of another recipe; or a file like configs/*.curve.csv",
    )
    tolerance: float = option(
        0.02,
        "how far the run may be below a score whose spread is not known, as a fraction; elsewhere "
        "it may be off by two standard deviations",
        minimum=0.0,
        maximum=1.0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "run_dir", "curve")
