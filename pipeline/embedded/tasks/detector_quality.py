"""How well a detector finds what captions of unseen practice scenes name, by the same way that the pipeline asks it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor, nn, tensor
from torchvision.ops import box_iou  # type: ignore[import-untyped]

from pipeline.embedded.tasks.task import VALIDATION_SEED
from pipeline.embedded.world import World
from pipeline.models.grounding_dino import GroundingDino
from pipeline.models.grounding_dino.detector import Detector
from pipeline.models.grounding_dino.settings import Frame
from pipeline.models.nouns import NounFinder
from pipeline.recipe import load_recipe
from pipeline.records import Detection
from shards.rle import Box, Size

SIZES: tuple[Size, ...] = ((96, 160), (180, 320))
SCENES = 150  # of each size
SWEEP = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Box thresholds whose recall and precision the log has, to choose one by."""

_LEAST = 0.05  # score of a detection that is looked at
_SMALL = 0.02  # share of the frame


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A first frame, what its caption's nouns are, and which of them are seen where."""

    frame: Frame
    nouns: tuple[str, ...]
    truth: tuple[tuple[str, Box], ...]


@lru_cache(maxsize=1)
def asked() -> tuple[Asked, ...]:
    """Scenes of the validation world; nouns of the captions as the pipeline's own finder gives them."""
    scenes = [World(seed=VALIDATION_SEED, size=size).scene(index) for size in SIZES for index in range(SCENES)]
    subjects = NounFinder().open()([scene.caption for scene in scenes])
    found = []
    for scene, named in zip(scenes, subjects, strict=True):
        frame, nouns = scene.frame(0), tuple(dict.fromkeys(subject.noun for subject in named))
        seen = zip((actor.look.noun for actor in scene.actors), frame.boxes(), strict=True)
        truth = tuple((noun, box) for noun, box in seen if noun in nouns and box is not None)
        found.append(Asked(frame=frame.image, nouns=nouns, truth=truth))
    return tuple(found)


def measured(network: nn.Module) -> dict[str, float]:
    """Recall and precision at IoU 0.5 by the recipe's box threshold, AP50, recall of small boxes, and the sweep."""
    own = load_recipe("embedded").grounder.model
    assert isinstance(own, GroundingDino)
    device = str(next(network.parameters()).device)
    low = {"box_threshold": _LEAST, "text_threshold": _LEAST, "device": device}
    detect, rows = Detector(own.model_copy(update=low), network), asked()
    detections: list[tuple[Detection, ...]] = []
    for first in range(0, len(rows), 16):
        detections += detect([(row.frame, row.nouns) for row in rows[first : first + 16]])
    return _figures(rows, detections, own.box_threshold)


def _figures(rows: Sequence[Asked], detections: Sequence[Sequence[Detection]], threshold: float) -> dict[str, float]:
    scores, right, found = [], [], []
    for row, answer in zip(rows, detections, strict=True):
        best = [0.0] * len(row.truth)  # score of the detection that found each object
        for one in sorted(answer, key=lambda one: -(one.score or 0)):
            hit = _hit(one, row, best)
            if hit is not None:
                best[hit] = one.score or 0
            scores.append(one.score or 0)
            right.append(hit is not None)
        found += [(_share(box, row.frame), score) for (_, box), score in zip(row.truth, best, strict=True)]
    figures = {"ap50": _average_precision(np.array(scores), np.array(right), len(found))}
    recalled = [score for _, score in found]
    figures |= _at(threshold, "", scores, right, recalled)
    figures["recall_small"] = float(np.mean([score > threshold for share, score in found if share < _SMALL]))
    for other in SWEEP:
        figures |= _at(other, f"_{other}", scores, right, recalled)
    return figures


def _at(threshold: float, name: str, scores: list[float], right: list[bool], found: list[float]) -> dict[str, float]:
    given = [ok for score, ok in zip(scores, right, strict=True) if score > threshold]
    recalled = [score > threshold for score in found]
    return {f"recall{name}": sum(recalled) / max(1, len(recalled)), f"precision{name}": sum(given) / max(1, len(given))}


def _hit(one: Detection, row: Asked, best: Sequence[float]) -> int | None:
    """Number of the object, not yet found, that the detection lies on."""
    free = [k for k, (noun, _) in enumerate(row.truth) if noun == one.noun and not best[k]]
    if not free:
        return None
    overlaps: Tensor = box_iou(tensor([one.box]).float(), tensor([row.truth[k][1] for k in free]).float())[0]
    return free[int(overlaps.argmax())] if overlaps.max() >= 0.5 else None


def _share(box: Box, frame: Frame) -> float:
    """Of the frame that the box takes."""
    share: float = (box[2] - box[0]) * (box[3] - box[1]) / (frame.shape[0] * frame.shape[1])
    return share


def _average_precision(scores: Any, right: Any, count: int) -> float:
    """Area under the curve of precision, made to fall only, over recall."""
    ranked = right[np.argsort(-scores, kind="stable")]
    precision = ranked.cumsum() / np.arange(1, len(ranked) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    area: np.float64 = (falling * ranked).sum()
    return area.item() / max(1, count)
