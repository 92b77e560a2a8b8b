"""The probes that metrics need; and those of the detector, of the captioner and of optical flow."""

from collections.abc import Sequence

from pipeline.records import Detection
from training.evaluation.clips import Asked
from training.evaluation.likeness import Semantic, Structural
from training.evaluation.metrics import fastest_flow
from training.evaluation.probe import Answer, Asking, Probe, Question, parts, shared
from training.evaluation.settings import EvaluationSettings


def probes(settings: EvaluationSettings, metrics: frozenset[str]) -> list[Probe]:
    """Those that the metrics need."""
    found: list[Probe] = []
    if metrics & {"mIoU", "CD"}:
        found.append(Detections(settings.detector, settings.frames_at_once))
    if metrics & {"T.Cons", "CLIP-I", "R-CLIP"} or ("CLIP-T" in metrics and settings.text is None):
        found.append(Semantic(settings, metrics))
    if metrics & {"DINO-I", "R-DINO"}:
        found.append(Structural(settings, metrics))
    if "CLIP-T" in metrics and settings.text is not None:
        found.append(Prompt(settings.text, settings.frames_at_once))
    if "DD" in metrics:
        found.append(Speeds(settings))
    return found


class Detections(Asking):
    """The best box of the noun in every frame: `boxes` and `scores`."""

    name = "detections"

    def key(self, asked: Asked) -> str | None:
        if asked.target is None or asked.entry.noun is None:
            return None
        return self.named(asked.entry.noun)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        frames = [(frame, (asked.entry.noun,)) for asked, shown in questions for frame in shown]
        best = [_best(found) for part in parts(frames, self.at_once) for found in self.opened(part)]
        return [
            {
                "boxes": [None if one is None else list(one.box) for one in some],
                "scores": [None if one is None else one.score for one in some],
            }
            for some in shared(best, [len(shown) for _, shown in questions])
        ]


class Prompt(Asking):
    """How likely the captioner holds the `prompt`, one figure for the video."""

    name = "prompt"

    def key(self, asked: Asked) -> str | None:
        return None if asked.entry.prompt is None else self.named(asked.entry.prompt)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [{"prompt": value} for value in self.opened([(shown, one.entry.prompt) for one, shown in questions])]


class Speeds(Asking):
    """How fast the fastest pixels of every pair of frames move, pixels: `speeds`; `frames` that were looked at."""

    name = "speeds"

    def __init__(self, settings: EvaluationSettings) -> None:
        super().__init__(settings.flow, settings.frames_at_once)
        self.fps = settings.flow_fps

    def key(self, asked: Asked) -> str:  # noqa: ARG002 - a video is all that it hangs on
        return self.named(self.fps)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        answers = []
        for asked, shown in questions:
            seen = shown[:: max(1, round(asked.facts.fps / self.fps))]
            answers.append({"speeds": [fastest_flow(field) for field in self.opened(seen)], "frames": len(seen)})
        return answers


def _best(found: Sequence[Detection]) -> Detection | None:
    return max(found, key=lambda one: one.score or 0.0, default=None)
