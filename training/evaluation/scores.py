"""Answers to figures: a value for each frame and for the video, by the policies of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.evaluation import metrics
from training.evaluation.clips import Asked
from training.evaluation.metrics import Boxes, Values
from training.evaluation.paper import Metric
from training.evaluation.probe import Answer
from training.evaluation.settings import EvaluationSettings

DETECTED = "detected"
"""Share of the frames with a target box in which the detector finds the subject."""
CD_DETECTED = "CD, detected"
"""CD over those frames alone."""

NEEDS: dict[Metric, tuple[str, ...]] = {
    "CLIP-T": ("prompt",),
    "R-CLIP": ("subject", "boxes"),
    "R-DINO": ("subject", "boxes"),
    "CLIP-I": ("subject",),
    "DINO-I": ("subject",),
    "T.Cons": (),
    "mIoU": ("boxes", "noun"),
    "CD": ("boxes", "noun"),
    "DD": (),
}
"""What of an entry a metric cannot do without."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One video's."""

    video: Mapping[str, float | None]  # by the paper's names, `DETECTED` and `CD_DETECTED`; None: not measured
    frames: Mapping[str, Values]  # [F]; NaN where a frame has none
    found: Boxes | None  # [F, 4] pixels, the detector's
    found_scores: Values | None


def scores_of(
    asked: Asked, answers: Mapping[str, Answer], settings: EvaluationSettings, wanted: tuple[Metric, ...]
) -> Scores:
    """`answers` by the probes' names."""
    frames: dict[str, Values] = {}
    video: dict[str, float | None] = {}
    found = found_scores = None
    for metric, probe, part in _LIKENESS:
        if part in answers.get(probe, {}):
            frames[metric] = _values(answers[probe][part])
    if "prompt" in answers:
        video["CLIP-T"] = answers["prompt"]["prompt"]
    if "detections" in answers and asked.target is not None:
        said = answers["detections"]
        found = np.array([[np.nan] * 4 if box is None else box for box in said["boxes"]], np.float64)
        found_scores = _values(said["scores"])
        frames |= _box_scores(found, asked.target, asked, settings)
    if "speeds" in answers:
        speeds = answers["speeds"]
        video["DD"] = float(metrics.is_dynamic(speeds["speeds"], speeds["frames"], asked.facts.size))
    means = {metric: metrics.mean(values) for metric, values in frames.items()}
    kept = {metric: (means | video).get(metric) for metric in wanted}
    if "mIoU" in wanted or "CD" in wanted:
        kept |= {metric: means.get(metric) for metric in (DETECTED, CD_DETECTED)}
    return Scores(
        video=kept,
        frames={metric: values for metric, values in frames.items() if metric in kept},
        found=found,
        found_scores=found_scores,
    )


_LIKENESS = (
    ("CLIP-T", "semantic", "prompt"),
    ("CLIP-I", "semantic", "subject"),
    ("R-CLIP", "semantic", "region"),
    ("T.Cons", "semantic", "consecutive"),
    ("DINO-I", "structural", "subject"),
    ("R-DINO", "structural", "region"),
)


def _box_scores(found: Boxes, target: Boxes, asked: Asked, settings: EvaluationSettings) -> dict[str, Values]:
    distances = metrics.centre_distances(found, target, asked.facts.size, settings.distance_by)
    no_iou = 0.0 if settings.missing_iou == "zero" else None
    no_distance = 1.0 if settings.missing_distance == "one" else None
    return {
        "mIoU": metrics.with_missing(metrics.ious(found, target), found, target, no_iou),
        "CD": metrics.with_missing(distances, found, target, no_distance),
        DETECTED: metrics.detected(found, target),
        CD_DETECTED: distances,
    }


def _values(listed: list[float | None]) -> Values:
    return np.array([np.nan if value is None else value for value in listed], np.float64)
