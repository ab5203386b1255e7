"""Ties the figures together: from true and predicted instances to `Metrics`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.evaluation import figures
from mito_instance.evaluation.coco_ap import (
    AveragePrecision,
    average_precision,
    in_one_order,
)
from mito_instance.evaluation.counted import best_partners, counted_predictions
from mito_instance.evaluation.crowds import judged_predictions, outside_crowds
from mito_instance.evaluation.image_result import ImageResult, areas_px, score_image
from mito_instance.evaluation.pairing import ImagePair, Pairing, pair_images
from mito_instance.evaluation.precision_recall import match_detections
from mito_instance.evaluation.thresholds import (
    ThresholdResult,
    best_f1,
    candidates_from,
    least_biased,
    sweep_scores,
)
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.measure.region import counts_in

Regions = Mapping[tuple[str, int], rle.RLE]
"""The annotated part of each image by (image, frame) of the truth."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Result of an evaluation.

    Args:
        average_precision: COCO's figures, of the predictions at all scores.
        images: one result for each image that stands in both files, in the order of the truth.
        pairs: the instances of these images, in the same order.
        unit: ``um2`` if every image has a pixel size, else ``px``; the unit of all areas.
        sweep: what other score thresholds would give; empty without scores.
        truth_incomplete: whether unmatched predictions may be right; precision-type figures
            are NaN then.
        unpaired_true: (image, frame) of true images without a prediction; not scored.
        unpaired_pred: (image, frame) of predicted images without a truth; not scored.
    """

    average_precision: AveragePrecision
    images: tuple[ImageResult, ...]
    pairs: tuple[ImagePair, ...] = field(repr=False)
    unit: str
    sweep: tuple[ThresholdResult, ...] = ()
    truth_incomplete: bool = False
    unpaired_true: tuple[tuple[str, int], ...] = field(default=())
    unpaired_pred: tuple[tuple[str, int], ...] = field(default=())

    def tallies(self) -> list[dict[str, float]]:
        """The counts of each image."""
        return [figures.tally(image, self.unit) for image in self.images]

    def summary(self) -> dict[str, float | int]:
        """All figures over all images, by name; fractions in [0, 1], undefined ones NaN."""
        names, counts = figures.matrix(self.tallies())
        ap = asdict(self.average_precision)
        if self.truth_incomplete:
            ap |= dict.fromkeys(("ap", "ap50", "ap75"), np.nan)
        sums = dict(zip(names, counts.sum(axis=0).tolist(), strict=True))
        chosen = {
            "score_threshold_best_f1": best_f1(self.sweep),
            "score_threshold_unbiased_count": least_biased(self.sweep),
        }
        thresholds = {
            name: np.nan if row is None or self.truth_incomplete else row.score_threshold
            for name, row in chosen.items()
        }
        return {"n_images": len(self.images), **ap, **self._figures(sums), **thresholds}

    def image_figures(self) -> list[dict[str, float | int]]:
        """Figures of each image alone; NaN where undefined."""
        return [
            {
                name: value
                for name, value in self._figures(counts).items()
                if not name.startswith(("count_", "area_"))
            }
            for counts in self.tallies()
        ]

    def _figures(self, sums: Mapping[str, float]) -> dict[str, float | int]:
        return figures.as_numbers(
            figures.figures(sums, self.unit, incomplete=self.truth_incomplete)
        )


def evaluate(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    *,
    min_area_px: int = 0,
    score_threshold: float = 0.0,
    regions: Regions | None = None,
    not_scored: Collection[tuple[str, int]] = (),
    truth_incomplete: bool = False,
    progress: bool = False,
) -> Metrics:
    """Score predictions against a truth, on the images that stand in both.

    All categories count as one. True instances below ``min_area_px`` are left out, and so are
    those of which less than half lies in the image's region (of exact halves,
    `measure.region.counts_in` decides). Predictions are left out by the same limits, but one of
    a true instance counts if that does (`counted_predictions`). What was found in crowd regions
    of the truth only is no error, and pixels there are not compared. AP and AR use the
    predictions at all scores; everything else those with score >= ``score_threshold``, which is
    what a user of the counts would see.

    Args:
        images_true: truth; instances may overlap.
        images_pred: predictions, in any order of images and instances.
        min_area_px: smallest instance that counts, in pixels; 0 keeps all.
        score_threshold: in [0, 1]; 0 keeps all.
        regions: the annotated part of each true image that is not annotated as a whole.
        not_scored: (image, frame) of images of either side that are left out in both, once
            these are paired, as where a region is needed and there is none.
        truth_incomplete: some true instances are not in the truth.
        progress: show a progress bar on stderr.

    Returns:
        The metrics; unpaired images are listed and not scored.

    Raises:
        ConfigError: if a threshold is given and predictions have no scores, or an option is
            out of range.
        AnnotationError: if no image that is scored stands in both, or images cannot be paired
            (see `pair_images`).
    """
    if min_area_px < 0 or not 0 <= score_threshold <= 1:
        raise ConfigError(
            "evaluation: the minimum area must be >= 0 px and the score threshold in [0, 1], "
            f"got {min_area_px} px and {score_threshold}; correct the option"
        )
    pairing = _paired(images_true, images_pred, not_scored)
    from tqdm import tqdm

    ranked: list[ImagePair] = []
    judged: list[ImagePair] = []
    results: list[ImageResult] = []
    for truth, pred in tqdm(
        pairing.pairs, desc="evaluate", unit="image", disable=not progress, leave=False
    ):
        pair = truth, pred
        region = (regions or {}).get((truth.image, truth.frame))
        large_true, large_pred = (areas_px(side.masks) >= min_area_px for side in pair)
        kept_true = large_true & _inside(truth, region)
        kept_pred = large_pred & _inside(pred, region)
        partners = None if kept_true.all() and kept_pred.all() else best_partners(pair)
        large_pred = counted_predictions(pair, large_true, large_pred, partners)
        kept_pred = counted_predictions(pair, kept_true, kept_pred, partners)
        ranked.append((truth.select(kept_true), pred.select(kept_pred)))
        # AP has a rule of its own for what lies in crowd regions.
        counted_pred = np.flatnonzero(kept_pred)[judged_predictions(ranked[-1])]
        judged.append((ranked[-1][0], pred.select(counted_pred)))
        above = _above(pred, score_threshold)
        large = truth.select(large_true), pred.select(large_pred & above)
        large = large[0], large[1].select(judged_predictions(large))
        results.append(
            score_image(
                pair,
                np.flatnonzero(kept_true),
                counted_pred[above[counted_pred]],
                match_detections(ranked[-1]),
                large,
                outside_crowds(truth.crowds, truth.image_hw, region),
            )
        )
    return Metrics(
        average_precision=average_precision(ranked),
        images=tuple(results),
        pairs=pairing.pairs,
        unit="um2" if all(result.pixel_size for result in results) else "px",
        sweep=sweep_scores(judged, candidates_from(lowest_score(judged))),
        truth_incomplete=truth_incomplete,
        unpaired_true=tuple((image.image, image.frame) for image in pairing.unpaired_true),
        unpaired_pred=tuple((image.image, image.frame) for image in pairing.unpaired_pred),
    )


def lowest_score(pairs: Sequence[ImagePair]) -> float:
    """The lowest score of all predictions; NaN where none has one.

    Args:
        pairs: (truth, prediction) of each image.
    """
    scores = [pred.scores for _, pred in pairs if pred.scores is not None and len(pred)]
    return min((float(of_image.min()) for of_image in scores), default=float("nan"))


def differing_pixel_sizes(metrics: Metrics, tolerance: float = 0.01) -> list[str]:
    """Images whose truth and prediction state pixel sizes that differ by more than 1 %."""
    return [
        truth.image
        for truth, pred in metrics.pairs
        if truth.pixel_size is not None
        and pred.pixel_size is not None
        and abs(pred.pixel_size.nm / truth.pixel_size.nm - 1) > tolerance
    ]


def _paired(
    images_true: Sequence[ImageInstances],
    images_pred: Sequence[ImageInstances],
    not_scored: Collection[tuple[str, int]],
) -> Pairing:
    """The images that stand in both and are scored, at least one."""
    pairing = pair_images(images_true, images_pred)
    if not pairing.pairs:
        raise AnnotationError(
            "truth and prediction share no image, neither by path nor by name and frame: "
            f"truth has {len(images_true)}{_example(images_true)}, prediction has "
            f"{len(images_pred)}{_example(images_pred)}; check that both are of the same images"
        )
    scored = [
        pair
        for pair in pairing.pairs
        if not any((side.image, side.frame) in not_scored for side in pair)
    ]
    if not scored:
        raise AnnotationError(
            f"{pairing.pairs[0][0].image}: none of the images that truth and prediction share is "
            "to be scored; check the regions, and ROIs that cannot be used"
        )
    alone = (item for item in pairing.unpaired_true if (item.image, item.frame) not in not_scored)
    return replace(pairing, pairs=tuple(in_one_order(scored)), unpaired_true=tuple(alone))


def _inside(image: ImageInstances, region: rle.RLE | None) -> npt.NDArray[np.bool_]:
    """Which instances count in the region, as `mito quantify --region` counts them."""
    if region is None:
        return np.ones(len(image), dtype=bool)
    return np.asarray([counts_in(region, mask) for mask in image.masks], dtype=bool)


def _above(pred: ImageInstances, score_threshold: float) -> npt.NDArray[np.bool_]:
    """Which predictions reach the threshold."""
    if pred.scores is not None:
        reached: npt.NDArray[np.bool_] = pred.scores >= score_threshold
        return reached
    if score_threshold > 0 and len(pred):
        raise ConfigError(
            f"{pred.image}: a score threshold of {score_threshold} needs scores, but the "
            "predictions have none; leave the threshold out"
        )
    return np.ones(len(pred), dtype=bool)


def _example(images: Sequence[ImageInstances]) -> str:
    """The first image, to show how this side names them."""
    return f" (such as {images[0].image}, frame {images[0].frame})" if images else ""
