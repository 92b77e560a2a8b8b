"""What models are asked about a video, batch by batch, and the plain answers that are kept.

An answer holds what a model said and no policy: thresholds, missing frames and normalisers are applied to it later, so
that another of those asks no model again.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Detection
from training.evaluation.clips import Asked
from training.evaluation.encoders import Clip, Embed, Picture
from training.evaluation.metrics import Boxes, Features, Values, consistency, cosines, fastest_flow
from training.evaluation.settings import EvaluationSettings

Frames = NDArray[np.uint8]  # [F, H, W, 3]
Question = tuple[Asked, Frames]
Answer = dict[str, Any]
"""Plain JSON: lists of a figure for each frame, None where it has none."""

T = TypeVar("T")


class Probe(Protocol):
    """One model's part. It loads the model when it is first asked."""

    name: str

    def key(self, asked: Asked) -> str | None:
        """Names the answer: model, settings and all of the entry that it hangs on; None where nothing can be asked."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer for each, in order."""
        ...


def probes(settings: EvaluationSettings, metrics: frozenset[str]) -> list[Probe]:
    """Those that the metrics need."""
    found: list[Probe] = []
    if metrics & {"mIoU", "CD"}:
        found.append(Detections(settings))
    if metrics & {"T.Cons", "CLIP-I", "R-CLIP"} or ("CLIP-T" in metrics and settings.text is None):
        found.append(Semantic(settings, metrics))
    if metrics & {"DINO-I", "R-DINO"}:
        found.append(Structural(settings, metrics))
    if "CLIP-T" in metrics and settings.text is not None:
        found.append(Prompt(settings))
    if "DD" in metrics:
        found.append(Speeds(settings))
    return found


class _Probe:
    """What all probes share: settings, and a key that names the model."""

    name: str

    def __init__(self, settings: EvaluationSettings) -> None:
        self.settings = settings
        self.at_once = settings.frames_at_once

    def _key(self, model: Any, *inputs: Any) -> str:
        said = model.model_dump(mode="json", exclude={"device", "checkpoint"})
        return _digest(self.name, said, self._fingerprint, *inputs)

    @cached_property
    def _fingerprint(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} names no model")


class Detections(_Probe):
    """The best box of the noun in every frame: `boxes` and `scores`."""

    name = "detections"

    @cached_property
    def _fingerprint(self) -> str:
        return str(self.settings.detector.fingerprint())

    @cached_property
    def _detect(self) -> Callable[..., list[tuple[Detection, ...]]]:
        return self.settings.detector.open()

    def key(self, asked: Asked) -> str | None:
        if asked.target is None or asked.entry.noun is None:
            return None
        return self._key(self.settings.detector, asked.entry.noun)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        frames = [(frame, (asked.entry.noun,)) for asked, shown in questions for frame in shown]
        best = [_best(found) for part in _parts(frames, self.at_once) for found in self._detect(part)]
        return [
            {
                "boxes": [None if one is None else list(one.box) for one in some],
                "scores": [None if one is None else one.score for one in some],
            }
            for some in _shared(best, [len(shown) for _, shown in questions])
        ]


class _Encoder(_Probe):
    """Pictures through an encoder: every frame, the subject image, and the region inside each target box."""

    def __init__(self, settings: EvaluationSettings, metrics: frozenset[str], subject: str, region: str) -> None:
        super().__init__(settings)
        self.wants_subject = bool(metrics & {subject, region})
        self.wants_frames = subject in metrics
        self.wants_region = region in metrics

    @cached_property
    def _embed(self) -> Embed:
        raise NotImplementedError(f"{type(self).__name__} has no encoder")

    def _pictures(self, question: Question, frames: bool) -> list[Picture]:
        """The subject image first, then frames, then regions."""
        asked, shown = question
        found: list[Picture] = []
        if self.wants_subject and asked.subject is not None:
            found.append(asked.subject)
        found += list(shown) if frames else []
        return found + self._regions(asked, shown)

    def _regions(self, asked: Asked, shown: Frames) -> list[Picture]:
        if not self.wants_region or asked.subject is None or asked.target is None:
            return []
        return [region(frame, box) for frame, box in zip(shown, asked.target, strict=True) if not np.isnan(box[0])]

    def _features(self, questions: Sequence[Question], frames: bool) -> Iterator[Features]:
        pictures = [self._pictures(question, frames) for question in questions]
        flat = [picture for some in pictures for picture in some]
        rows = [row for part in _parts(flat, self.at_once) for row in self._embed(part)]
        for some in _shared(rows, [len(some) for some in pictures]):
            yield np.stack(some) if some else np.empty((0, 1), np.float32)

    def _likeness(self, asked: Asked, features: Features, num_frames: int) -> Answer:
        """Of the subject with frames and with regions, of rows as `_pictures` has them."""
        if asked.subject is None or not self.wants_subject:
            return {}
        subject, shown, regions = features[:1], features[1 : 1 + num_frames], features[1 + num_frames :]
        answer: Answer = {"subject": _listed(cosines(shown, subject))} if self.wants_frames else {}
        if self.wants_region and asked.target is not None:
            values = np.full(len(asked.target), np.nan)
            values[~np.isnan(asked.target[:, 0])] = cosines(regions, subject)
            answer["region"] = _listed(values)
        return answer

    def _inputs(self, asked: Asked) -> tuple[Any, ...]:
        subject = None if asked.subject is None or not self.wants_subject else _array_digest(asked.subject)
        target = None if asked.target is None or not self.wants_region else _array_digest(asked.target.round(3))
        return self.wants_frames, subject, target


class Semantic(_Encoder):
    """`consecutive` frames, `subject` and `region`; and frames against the `prompt`, where the encoder reads it."""

    name = "semantic"

    def __init__(self, settings: EvaluationSettings, metrics: frozenset[str]) -> None:
        super().__init__(settings, metrics, "CLIP-I", "R-CLIP")
        self.reads = settings.text is None and "CLIP-T" in metrics

    @cached_property
    def _fingerprint(self) -> str:
        return self.settings.semantic.fingerprint()

    @cached_property
    def _embed(self) -> Embed:
        return self.settings.semantic.open()

    def key(self, asked: Asked) -> str:
        prompt = asked.entry.prompt if self.reads else None
        return self._key(self.settings.semantic, prompt, *self._inputs(asked))

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = []
        for (asked, shown), features in zip(questions, self._features(questions, True), strict=True):
            first = int(asked.subject is not None and self.wants_subject)
            frames = features[first : first + len(shown)]
            answer = self._likeness(asked, features, len(shown))
            answer["consecutive"] = _listed(consistency(frames))
            if self.reads and asked.entry.prompt is not None:
                answer["prompt"] = _listed(cosines(frames, self._read(asked.entry.prompt)))
            answers.append(answer)
        return answers

    def _read(self, prompt: str) -> Features:
        assert isinstance(self.settings.semantic, Clip)
        embed: Any = self._embed
        read: Features = embed.read([prompt])
        return read


class Structural(_Encoder):
    """`subject` and `region`."""

    name = "structural"

    def __init__(self, settings: EvaluationSettings, metrics: frozenset[str]) -> None:
        super().__init__(settings, metrics, "DINO-I", "R-DINO")

    @cached_property
    def _fingerprint(self) -> str:
        return self.settings.structural.fingerprint()

    @cached_property
    def _embed(self) -> Embed:
        return self.settings.structural.open()

    def key(self, asked: Asked) -> str | None:
        return None if asked.subject is None else self._key(self.settings.structural, *self._inputs(asked))

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [
            self._likeness(asked, features, len(shown) if self.wants_frames else 0)
            for (asked, shown), features in zip(questions, self._features(questions, self.wants_frames), strict=True)
        ]


class Prompt(_Probe):
    """How likely the captioner holds the `prompt`, one figure for the video."""

    name = "prompt"

    @cached_property
    def _fingerprint(self) -> str:
        assert self.settings.text is not None
        return self.settings.text.fingerprint()

    @cached_property
    def _likelihood(self) -> Callable[..., list[float]]:
        assert self.settings.text is not None
        return self.settings.text.open()

    def key(self, asked: Asked) -> str | None:
        return None if asked.entry.prompt is None else self._key(self.settings.text, asked.entry.prompt)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [
            {"prompt": value} for value in self._likelihood([(shown, one.entry.prompt) for one, shown in questions])
        ]


class Speeds(_Probe):
    """How fast the fastest pixels of every pair of frames move, pixels: `speeds`; `frames` that were looked at."""

    name = "speeds"

    @cached_property
    def _fingerprint(self) -> str:
        return self.settings.flow.fingerprint()

    @cached_property
    def _follow(self) -> Callable[[Frames], NDArray[np.float32]]:
        return self.settings.flow.open()

    def key(self, asked: Asked) -> str:  # noqa: ARG002 - a video is all that it hangs on
        return self._key(self.settings.flow, self.settings.flow_fps)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = []
        for asked, shown in questions:
            seen = shown[:: max(1, round(asked.facts.fps / self.settings.flow_fps))]
            answers.append({"speeds": [fastest_flow(field) for field in self._follow(seen)], "frames": len(seen)})
        return answers


def region(frame: Picture, box: Boxes) -> Picture:
    """The frame inside the box, in whole pixels and at least one; no padding."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return frame[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _best(found: Sequence[Detection]) -> Detection | None:
    return max(found, key=lambda one: one.score or 0.0, default=None)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]


def _shared(items: Sequence[T], counts: Sequence[int]) -> Iterator[Sequence[T]]:
    """As many to each in turn."""
    first = 0
    for count in counts:
        yield items[first : first + count]
        first += count


def _listed(values: Values) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _array_digest(array: NDArray[Any]) -> str:
    return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
