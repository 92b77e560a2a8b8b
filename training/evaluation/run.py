"""`evaluate` from a manifest to every video's figures: batches, answers that are kept, and what could not be used."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shards import Storage
from shards.rle import Size
from training.evaluation.answers import Answers
from training.evaluation.clips import Asked, VideoFacts, Wanting, decoded, opened, video_sha256
from training.evaluation.manifest import Entry
from training.evaluation.paper import PROTOCOLS, Metric
from training.evaluation.probe import Answer, Frames, Probe
from training.evaluation.probes import probes
from training.evaluation.scores import NEEDS, Scores, scores_of
from training.evaluation.settings import EvaluationSettings

Tell = Callable[[int, int], None]
"""Called as videos are done: how many, of how many."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What of an entry could not be used."""

    number: int  # of the entry in the manifest, from 0
    video: str
    what: str  # "video", "prompt", "noun", "subject", "boxes" or "size"
    why: str
    lost: tuple[Metric, ...]  # the metrics that this cost


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One entry's figures."""

    number: int
    asked: Asked
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A manifest's videos, measured."""

    name: str  # of the system
    protocol: str
    settings: EvaluationSettings
    videos: str  # the folder
    measured: list[Measured]
    faults: list[Fault]
    asked_now: int  # videos of which a model was asked this time; what is known of the others was at hand

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return PROTOCOLS[self.protocol].metrics


def evaluate(
    entries: Sequence[Entry],
    videos: Path,
    beside: Path,
    out: Storage,
    settings: EvaluationSettings,
    *,
    name: str,
    protocol: str = "all",
    asking: Sequence[Probe] | None = None,
    stopping: Callable[[], bool] = lambda: False,
    tell: Tell = lambda done, of: None,
) -> Evaluation | None:
    """Measure the entries' videos, which lie in `videos`; their boxes and subjects lie beside the manifest.

    Answers are kept in `out`, and a video whose answers are there is not decoded. `asking` are the probes where the
    caller has them, loaded. None where `stopping` said so before the end.
    """
    wanted = PROTOCOLS[protocol].metrics
    measuring = _Measuring(
        videos=videos,
        beside=beside,
        answers=Answers(out),
        probes=list(asking or probes(settings, frozenset(wanted))),
        settings=settings,
        wanted=wanted,
        faults=[],
    )
    numbered, measured, asked_now = list(enumerate(entries)), [], 0
    for first in range(0, len(entries), settings.videos_at_once):
        if stopping():
            return None
        batch, asked = measuring.batch(numbered[first : first + settings.videos_at_once])
        measured += batch
        asked_now += asked
        tell(min(first + settings.videos_at_once, len(entries)), len(entries))
    if settings.one_size:
        measured = list(_of_one_size(measured, measuring.faults, wanted))
    return Evaluation(
        name=name,
        protocol=protocol,
        settings=settings,
        videos=str(videos),
        measured=measured,
        faults=sorted(measuring.faults, key=lambda fault: fault.number),
        asked_now=asked_now,
    )


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """One evaluation under way."""

    videos: Path
    beside: Path
    answers: Answers
    probes: list[Probe]
    settings: EvaluationSettings
    wanted: tuple[Metric, ...]
    faults: list[Fault]

    def batch(self, entries: Sequence[tuple[int, Entry]]) -> tuple[list[Measured], int]:
        """Figures of those whose video can be read, and how many of them a model was asked about."""
        opened_ones = [one for number, entry in entries if (one := self._opened(number, entry))]
        self._ask(opened_ones)
        measured = []
        for one in opened_ones:
            said = {probe.name: one.known[key] for probe in self.probes if (key := probe.key(one.asked)) in one.known}
            scores = scores_of(one.asked, said, self.settings, self.wanted)
            measured.append(Measured(number=one.number, asked=one.asked, scores=scores))
        return measured, sum(one.new for one in opened_ones)

    def _opened(self, number: int, entry: Entry) -> "_Opened | None":
        path = self.videos / entry.video
        try:
            sha256 = video_sha256(path)
            facts, known = self.answers.read(sha256)
            frames = None
            if facts is None:
                frames, facts = decoded(path)
            asked = opened(entry, self.beside, sha256, facts)
        except Wanting as fault:
            self._note(number, entry, fault, self.wanted)
            return None
        self._note_missing(number, asked)
        one = _Opened(number=number, asked=asked, path=path, known=known, frames=frames, facts=facts)
        one.new = any((key := probe.key(asked)) is not None and key not in known for probe in self.probes)
        return one

    def _ask(self, batch: Sequence["_Opened"]) -> None:
        """Every probe what it was not asked before; then each video's answers are written, all at once."""
        for probe in self.probes:
            keys = [(one, probe.key(one.asked)) for one in batch]
            missing = [(one, key) for one, key in keys if key is not None and key not in one.known]
            if missing:
                answers = probe.ask([(one.asked, one.shown()) for one, _ in missing])
                for (one, key), answer in zip(missing, answers, strict=True):
                    one.known[key] = answer
        for one in batch:
            if one.new:
                self.answers.write(one.asked.sha256, one.facts, one.known)

    def _note(self, number: int, entry: Entry, fault: Wanting, lost: tuple[Metric, ...]) -> None:
        self.faults.append(Fault(number=number, video=entry.video, what=fault.what, why=fault.why, lost=lost))

    def _note_missing(self, number: int, asked: Asked) -> None:
        """Each input that a wanted metric needs and that is not there, or cannot be used."""
        told = {fault.what: fault for fault in asked.faults}
        there = {
            "prompt": asked.entry.prompt,
            "noun": asked.entry.noun,
            "subject": asked.subject,
            "boxes": asked.target,
        }
        for what, given in there.items():
            lost = tuple(metric for metric in self.wanted if what in NEEDS[metric])
            if given is None and lost:
                self._note(number, asked.entry, told.get(what, Wanting(what, "the manifest gives none")), lost)


@dataclass(kw_only=True)
class _Opened:
    """A video of the batch under way."""

    number: int
    asked: Asked
    path: Path
    facts: VideoFacts
    known: dict[str, Answer]
    frames: Frames | None
    new: bool = False

    def shown(self) -> Frames:
        """The frames, decoded when they are first needed."""
        if self.frames is None:
            self.frames, _ = decoded(self.path)
        return self.frames


def _of_one_size(measured: list[Measured], faults: list[Fault], wanted: tuple[Metric, ...]) -> Iterator[Measured]:
    """Those of the size that most have; the others are faults."""
    sizes: Counter[Size] = Counter(one.asked.facts.size for one in measured)
    if not sizes:
        return
    most, count = sizes.most_common(1)[0]
    for one in measured:
        height, width = one.asked.facts.size
        if (height, width) == most:
            yield one
            continue
        why = (
            f"{height}x{width}, where {count} of {len(measured)} have {most[0]}x{most[1]}; one_size=false measures all"
        )
        faults.append(Fault(number=one.number, video=one.asked.entry.video, what="size", why=why, lost=wanted))
