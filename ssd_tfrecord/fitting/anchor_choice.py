"""Which anchors a set is trained with: fitted ones only if they match clearly more of its boxes."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssd_tfrecord.backbones import FeatureMaps
from ssd_tfrecord.fitting.anchor_fit import fit_anchors
from ssd_tfrecord.fitting.anchor_recall import AnchorRecall, anchor_recall, best_ious, is_matched
from ssd_tfrecord.fitting.seen_boxes import SeenBoxes, seen_boxes
from ssd_tfrecord.options import AnchorOptions, FramingOptions, InputOptions, ModelOptions
from ssd_tfrecord.records.manifest import Manifest

# The recall that fitted anchors must gain: at least 0.01, since a box without an anchor of IoU 0.5
# is still learned from one, so a hundredth of the boxes is a small part of what is learned; and for
# less, the anchors that published models and weights share are not given up.
_LEAST_GAIN = 0.01
# And two standard errors, as images differ by chance.
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class AnchorChoice:
    """Published and fitted anchors, judged on ``num_images`` images that the fit has not seen.

    ``published`` is {name of ``--anchor_scales``: recall of the boxes in training samples}, and
    ``best`` the name of the highest; ``fitted`` and ``fitted_recall`` are the same of the fitted
    anchors. ``whole`` are the recalls of the best published and of the fitted anchors on the boxes
    of whole images, as detection meets them. ``margin`` is the recall that had to be gained.
    ``options`` are the chosen ones.
    """

    num_images: int
    published: Mapping[str, AnchorRecall]
    best: str
    fitted: AnchorOptions
    fitted_recall: AnchorRecall
    whole: tuple[float, float]
    margin: float
    options: AnchorOptions

    @property
    def is_fitted(self) -> bool:
        """Whether the fitted anchors are chosen."""
        return self.options.anchor_scales != self.best

    @property
    def flags(self) -> tuple[str, ...]:
        """The chosen anchors as flags."""
        return (
            f"--anchor_scales={self.options.anchor_scales}",
            f"--aspect_ratios={self.options.aspect_ratios}",
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print: the recalls, and what is chosen and why."""
        recalls = {name: item.recall for name, item in self.published.items()}
        texts = ", ".join(f"{recall:.3f} with {name}" for name, recall in recalls.items())
        gain = self.fitted_recall.recall - recalls[self.best]
        whole, whole_fitted = self.whole
        best = self.published[self.best]
        lines = (
            f"anchor recall (boxes with an anchor of IoU 0.5 or more): {texts}, "
            f"{self.fitted_recall.recall:.3f} fitted; on whole images {whole:.3f} with "
            f"{self.best}, {whole_fitted:.3f} fitted; on {self.num_images:,} images that were not "
            "used to fit",
            f"anchor recall of small, medium and large boxes: {_by_size(best)} with {self.best}, "
            f"{_by_size(self.fitted_recall)} fitted",
        )
        if self.is_fitted:
            return *lines, f"anchors: fitted, as recall gains {gain:.3f} ({self._needed} needed)"
        kept = f"anchors: {self.best} is kept, as "
        if gain < self.margin:
            what = f"changes recall by {gain:+.3f} (+{self._needed} needed)"
            return *lines, f"{kept}fitting {what}"
        return *lines, f"{kept}fitting loses {whole - whole_fitted:.3f} of recall on whole images"

    @property
    def _needed(self) -> str:
        # Which of the two it was: the least that counts, or chance.
        return f"{self.margin:.3f}" + (
            ", two standard errors," if self.margin > _LEAST_GAIN else ""
        )


def _by_size(recall: AnchorRecall) -> str:
    return ", ".join(f"{item.recall:.3f}" for item in recall.by_size.values())


def choose_anchors(
    manifests: Sequence[Manifest],
    options: InputOptions,
    model: ModelOptions,
    anchors: AnchorOptions,
    *,
    seed: int = 0,
    seen: SeenBoxes | None = None,
) -> AnchorChoice:
    """Reads the boxes of the training sets, fits anchors and chooses; takes 3 to 7 CPU s.

    Args:
        manifests: of the sets to train on.
        options: of the run's input pipeline.
        model: whose backbone and input size the anchors are for.
        anchors: of the run; only ``anchor_variant`` is used.
        seed: of the run.
        seen: what ``seen_boxes`` returns for these arguments, if it is known already.

    Raises:
        DamagedRecordError: a record is damaged, and ``options`` are not to skip it.
    """
    size = model.input_size
    seen = seen or seen_boxes(manifests, options, input_size=size, seed=seed)
    plain = dataclasses.replace(options, framing=FramingOptions(augmentation="none"))
    whole = seen_boxes(manifests, plain, input_size=size, seed=seed)
    return judge(seen, whole, anchors, model.maps, seed=seed)


def judge(
    seen: SeenBoxes, whole: SeenBoxes, anchors: AnchorOptions, maps: FeatureMaps, *, seed: int = 0
) -> AnchorChoice:
    """Fits anchors to one half of the images, and compares them on the other.

    They are chosen if there they match more of the seen boxes, by the margin, and of the boxes of
    whole images not fewer by half of it.

    Args:
        seen: the boxes in training samples.
        whole: the boxes in whole images, of the same sets.
        anchors: only ``anchor_variant`` is used.
        maps: that the anchors belong to.
        seed: of the halves.
    """
    images = np.union1d(seen.images, whole.images)
    # By image, not by box: the objects of an image are alike.
    first = np.random.default_rng(seed).permutation(images)[: len(images) // 2]
    is_first = np.isin(seen.images, first)
    own, others = seen.boxes[is_first], seen.boxes[~is_first]
    named = {
        name: dataclasses.replace(anchors, anchor_scales=name, aspect_ratios="")
        for name in maps.sizes
    }
    # By the half that the fit sees, too: the best of several has been lucky where it was chosen.
    recalls = {name: anchor_recall(own, item, maps).recall for name, item in named.items()}
    best = max(recalls, key=lambda name: recalls[name])
    fitted = fit_anchors(own, named[best], maps)
    published = {name: anchor_recall(others, item, maps) for name, item in named.items()}
    fitted_recall = anchor_recall(others, fitted, maps)
    before, after = (is_matched(best_ious(others, item, maps)) for item in (named[best], fitted))
    error = standard_error(before, after, seen.images[~is_first])
    margin = max(_LEAST_GAIN, _STANDARD_ERRORS * error)
    whole_boxes = whole.boxes[~np.isin(whole.images, first)]
    kept, gained = (anchor_recall(whole_boxes, item, maps).recall for item in (named[best], fitted))
    is_better = fitted_recall.recall - published[best].recall >= margin
    return AnchorChoice(
        num_images=len(images) - len(first),
        published=published,
        best=best,
        fitted=fitted,
        fitted_recall=fitted_recall,
        whole=(kept, gained),
        margin=margin,
        options=fitted if is_better and kept - gained <= margin / 2 else named[best],
    )


def standard_error(before: np.ndarray, after: np.ndarray, images: np.ndarray) -> float:
    """Standard error of the gain in recall, were there none: boxes of one image go together.

    Args:
        before: bool [N], whether a box is matched.
        after: bool [N], with other anchors.
        images: int64 [N], the image of each box.
    """
    _, places = np.unique(images, return_inverse=True)
    sums = np.bincount(places, weights=after.astype(float) - before.astype(float))
    return float(np.sqrt(np.sum(sums**2)) / max(1, len(before)))
