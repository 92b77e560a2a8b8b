"""Pictures through an encoder: frames with their prompt, with the next frame, and with the subject image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from training.evaluation.clips import Asked
from training.evaluation.encoders import Picture
from training.evaluation.metrics import Boxes, Features, consistency, cosines
from training.evaluation.probe import Answer, Asking, Frames, Question, array_digest, listed, parts, shared
from training.evaluation.settings import EvaluationSettings


class _Encoder(Asking):
    """Pictures through an encoder: every frame, the subject image, and the region inside each target box."""

    def __init__(self, model: Any, at_once: int, metrics: frozenset[str], subject: str, region: str) -> None:
        """`subject` and `region` name the metrics that it serves, of which only those in `metrics` are wanted."""
        super().__init__(model, at_once)
        self.wants_subject = bool(metrics & {subject, region})
        self.wants_frames = subject in metrics
        self.wants_region = region in metrics

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
        rows = [row for part in parts(flat, self.at_once) for row in self.opened(part)]
        for some in shared(rows, [len(some) for some in pictures]):
            yield np.stack(some) if some else np.empty((0, 1), np.float32)

    def _likeness(self, asked: Asked, features: Features, num_frames: int) -> Answer:
        """Of the subject with frames and with regions, of rows as `_pictures` has them."""
        if asked.subject is None or not self.wants_subject:
            return {}
        subject, shown, regions = features[:1], features[1 : 1 + num_frames], features[1 + num_frames :]
        answer: Answer = {"subject": listed(cosines(shown, subject))} if self.wants_frames else {}
        if self.wants_region and asked.target is not None:
            values = np.full(len(asked.target), np.nan)
            values[~np.isnan(asked.target[:, 0])] = cosines(regions, subject)
            answer["region"] = listed(values)
        return answer

    def _inputs(self, asked: Asked) -> tuple[Any, ...]:
        subject = None if asked.subject is None or not self.wants_subject else array_digest(asked.subject)
        target = None if asked.target is None or not self.wants_region else array_digest(asked.target.round(3))
        return self.wants_frames, subject, target


class Semantic(_Encoder):
    """`consecutive` frames, `subject` and `region`; and frames against the `prompt`, where the encoder reads it."""

    name = "semantic"

    def __init__(self, settings: EvaluationSettings, metrics: frozenset[str]) -> None:
        super().__init__(settings.semantic, settings.frames_at_once, metrics, "CLIP-I", "R-CLIP")
        self.reads = settings.text is None and "CLIP-T" in metrics

    def key(self, asked: Asked) -> str:
        prompt = asked.entry.prompt if self.reads else None
        return self.named(prompt, *self._inputs(asked))

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = []
        for (asked, shown), features in zip(questions, self._features(questions, True), strict=True):
            first = int(asked.subject is not None and self.wants_subject)
            frames = features[first : first + len(shown)]
            answer = self._likeness(asked, features, len(shown))
            answer["consecutive"] = listed(consistency(frames))
            if self.reads and asked.entry.prompt is not None:
                answer["prompt"] = listed(cosines(frames, self.opened.read([asked.entry.prompt])))
            answers.append(answer)
        return answers


class Structural(_Encoder):
    """`subject` and `region`."""

    name = "structural"

    def __init__(self, settings: EvaluationSettings, metrics: frozenset[str]) -> None:
        super().__init__(settings.structural, settings.frames_at_once, metrics, "DINO-I", "R-DINO")

    def key(self, asked: Asked) -> str | None:
        return None if asked.subject is None else self.named(*self._inputs(asked))

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [
            self._likeness(asked, features, len(shown) if self.wants_frames else 0)
            for (asked, shown), features in zip(questions, self._features(questions, self.wants_frames), strict=True)
        ]


def region(frame: Picture, box: Boxes) -> Picture:
    """The frame inside the box, in whole pixels and at least one; no padding."""
    height, width = frame.shape[:2]
    x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return frame[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
